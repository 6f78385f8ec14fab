// Rotary position embedding.
#include "plugins/backends/cpu/isa/families.hpp"
#include "plugins/backends/cpu/isa/vec.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

typedef double D __attribute__((vector_size(8 * W)));

/// The argument is reduced to |r| <= pi/4 in double, exact enough for positions up to millions;
/// then Taylor polynomials.
GRAFT_INLINE void sine_cosine(F angle, F& sine, F& cosine) {
  const double magic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const D a = __builtin_convertvector(angle, D);
  const D n = (a * 0.63661977236758134308 + magic) - magic;
  const F r = __builtin_convertvector(a - n * 1.57079632679489661923, F);
  const I quadrant = __builtin_convertvector(n, I);
  const F z = r * r;
  F s = splat(1.0f / 362880);
  s = s * z - 1.0f / 5040;
  s = s * z + 1.0f / 120;
  s = s * z - 1.0f / 6;
  s = r + r * z * s;
  F c = splat(-1.0f / 3628800);
  c = c * z + 1.0f / 40320;
  c = c * z - 1.0f / 720;
  c = c * z + 1.0f / 24;
  c = c * z - 0.5f;
  c = c * z + 1.0f;
  const F other_s = (quadrant & 1) != 0 ? c : s, other_c = (quadrant & 1) != 0 ? s : c;
  sine = (quadrant & 2) != 0 ? -other_s : other_s;
  cosine = ((quadrant + 1) & 2) != 0 ? -other_c : other_c;
}

constexpr int64_t kPairs = 256;  // pairs whose cosines and sines are kept at a time

template <class T>
void rope_row(const RopeCall& c, int64_t r) {
  const T* x = row<T>(c.rows, r, 0);
  T* y = row<T>(c.rows, r, 1);
  const int64_t half = c.rotary / 2;
  const float position = (float)c.positions[r];
  const float* inv_freq = c.inv_freq + r * c.freq_stride;
  float cosines[kPairs], sines[kPairs];
  for (int64_t first = 0; first < half; first += kPairs) {
    const int64_t n = least(kPairs, half - first);
    strip(n, [&](int64_t j, auto count) {
      F sine, cosine;
      sine_cosine(position * load(inv_freq + first + j, count), sine, cosine);
      sine = rounded<T>(sine * c.scale);
      store(cosines + j, rounded<T>(cosine * c.scale), count);
      store(sines + j, c.inverse ? -sine : sine, count);
    });
    for (int64_t h = 0; h < c.heads; ++h) {
      const T* in = x + h * c.head_stride[0] + first;
      T* out = y + h * c.head_stride[1] + first;
      strip(n, [&](int64_t j, auto count) {
        const F a = load(in + j, count), b = load(in + half + j, count);
        const F cosine = load(cosines + j, count), sine = load(sines + j, count);
        store(out + j, a * cosine - b * sine, count);
        store(out + half + j, b * cosine + a * sine, count);
      });
    }
  }
  for (int64_t h = 0; h < c.heads; ++h)
    for (int64_t j = c.rotary; j < c.rows.cols; ++j)
      y[h * c.head_stride[1] + j] = x[h * c.head_stride[0] + j];
}

}  // namespace

void rope(const RopeCall* c) {
  const RowCall& rows = c->rows;
  with_type(rows.type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(rows.threads) schedule(static) if (rows.nest.count * c->heads * rows.cols > kParallel))
    for (int64_t r = 0; r < rows.nest.count; ++r) rope_row<T>(*c, r);
  });
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
