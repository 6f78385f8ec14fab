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

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
