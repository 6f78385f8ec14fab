// Sums of rows with the same id, and the Adam step.
#include "plugins/backends/cpu/isa/families.hpp"
#include "plugins/backends/cpu/isa/vec.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

template <class T, class Out>
void scatter_group(const ScatterCall& c, int64_t g) {
  constexpr int64_t kCols = 512;
  float sums[kCols];
  Out* out = (Out*)c.out + c.target[g] * c.out_stride;
  for (int64_t first = 0; first < c.cols; first += kCols) {
    const int64_t n = least(kCols, c.cols - first);
    for (int64_t j = 0; j < n; ++j) sums[j] = c.accumulate ? scalar(out + first + j) : 0;
    for (int64_t i = c.begin[g]; i < c.begin[g + 1]; ++i) {
      const T* x = (const T*)c.x + c.order[i] * c.x_stride + first;
      strip(n, [&](int64_t j, auto count) {
        store(sums + j, load(sums + j, count) + load(x + j, count), count);
      });
    }
    strip(n, [&](int64_t j, auto count) { store(out + first + j, load(sums + j, count), count); });
  }
}

}  // namespace

void scatter_add(const ScatterCall* c) {
  with_type(c->type, [&](auto t) {
    typedef typename decltype(t)::type T;
    with_type(c->out_type, [&](auto o) {
      typedef typename decltype(o)::type Out;
      GRAFT_OMP(parallel for num_threads(c->threads) schedule(dynamic, 16) if (c->groups > 1))
      for (int64_t g = 0; g < c->groups; ++g) scatter_group<T, Out>(*c, g);
    });
  });
}

void adam(const AdamCall* c) {
  const int64_t block = 4096;
  GRAFT_OMP(parallel for num_threads(c->threads) schedule(static) if (c->n > kParallel))
  for (int64_t from = 0; from < c->n; from += block) {
    strip(least(block, c->n - from), [&](int64_t at, auto n) {
      const int64_t j = from + at;
      const F g = load(c->grad + j, n);
      const F m = c->beta1 * load(c->m + j, n) + c->rest1 * g;
      const F v = c->beta2 * load(c->v + j, n) + c->rest2 * g * g;
      store(c->m + j, m, n);
      store(c->v + j, v, n);
      store(c->param + j,
            load(c->param + j, n) * c->decay -
                c->step_size * m / (vsqrt(v) * c->denom_scale + c->eps),
            n);
    });
  }
}

namespace {

/// a b + c, rounded once.
GRAFT_INLINE F fused(F a, F b, F c) {
#if defined(__AVX512F__)
  return (F)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (F)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  for (int i = 0; i < W; ++i) c[i] = fmaf(a[i], b[i], c[i]);
  return c;
#endif
}

/// x rounded: the compiler does not fuse what made it with what follows.
GRAFT_INLINE F settled(F x) {
  __asm__("" : "+x"(x));
  return x;
}

/// Codes of a block of states, and its scale.
GRAFT_INLINE float encode(const float* x, int64_t n, const uint8_t* codes, uint8_t* out) {
  F top = {};
  for (int64_t j = 0; j < n; j += W) top = vmax(top, absolute(load(x + j)));
  const float largest = maximum(top);
  const float inverse = 1 / most(largest, 1e-38f);
  for (int64_t j = 0; j < n; j += W) {
    const F t = vmin(vmax(load(x + j) * inverse, splat(-1)), splat(1));
    const F at = settled((t + 1) * 0.5f * 65535);
    const I place = __builtin_convertvector(at + 0.5f, I);  // halves go up
    for (int64_t i = 0; i < least<int64_t>(W, n - j); ++i) out[j + i] = codes[place[i]];
  }
  return largest;
}

GRAFT_INLINE void adam8_block(const Adam8Call& c, int64_t from, int64_t n) {
  constexpr int64_t kBlock = 256;
  const AdamCall& a = c.adam;
  const int64_t block = from / kBlock;
  const float m_scale = c.m_scale[block], v_scale = c.v_scale[block];
  float m[kBlock] = {}, v[kBlock] = {};
  for (int64_t j = 0; j < n; ++j) m[j] = c.m_map[c.m[from + j]];
  for (int64_t j = 0; j < n; ++j) v[j] = c.v_map[c.v[from + j]];
  strip(n, [&](int64_t j, auto count) {
    const F g = load(a.grad + from + j, count);
    const F kept_m = load(m + j, count) * m_scale * a.beta1;
    const F kept_v = load(v + j, count) * v_scale * a.beta2;
    const F new_m = fused(splat(a.rest1), g, kept_m);
    const F new_v = fused(a.rest2 * g, g, kept_v);
    store(m + j, new_m, count);
    store(v + j, new_v, count);
    float* param = a.param + from + j;
    store(
        param,
        load(param, count) * a.decay - a.step_size * new_m / (vsqrt(new_v) * a.denom_scale + a.eps),
        count);
  });
  c.m_scale[block] = encode(m, n, c.m_codes, c.m + from);
  c.v_scale[block] = encode(v, n, c.v_codes, c.v + from);
}

}  // namespace

void adam8(const Adam8Call* c) {
  const int64_t block = 256, n = c->adam.n;
  GRAFT_OMP(parallel for num_threads(c->adam.threads) schedule(static) if (n > kParallel))
  for (int64_t from = 0; from < n; from += block) adam8_block(*c, from, least(block, n - from));
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
