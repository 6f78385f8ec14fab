// Dropout: Philox4x32-10 for W counters at a time.
#include "plugins/backends/cpu/isa/families.hpp"
#include "plugins/backends/cpu/isa/vec.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

typedef uint64_t L __attribute__((vector_size(4 * W)));

/// 64-bit products of the even lanes.
GRAFT_INLINE L multiply_even(L a, L b) {
#if defined(__AVX512F__)
  return (L)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (L)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
  return (L)_mm_mul_epu32((__m128i)a, (__m128i)b);
#endif
}
GRAFT_INLINE U high_product(U x, uint32_t factor) {
  const L f = factor - L{};
  const L even = multiply_even((L)x, f) >> 32;
  const L odd = multiply_even((L)x >> 32, f) & 0xffffffff00000000u;
  return (U)(even | odd);
}

/// words[4 i + k] = word k of the counter (group + i, k0, k1, stream), for i below W.
void philox(uint32_t group, const int32_t* keys, const DropoutCall& c, uint32_t* words) {
  U x0, x1 = (uint32_t)keys[0] - U{}, x2 = (uint32_t)keys[1] - U{}, x3 = c.stream - U{};
  for (int i = 0; i < W; ++i) x0[i] = group + (uint32_t)i;
  uint32_t k0 = c.seed[0], k1 = c.seed[1];
  for (int round = 0; round < 10; ++round) {
    const U high0 = high_product(x0, 0xD2511F53u), low0 = x0 * 0xD2511F53u;
    const U high1 = high_product(x2, 0xCD9E8D57u), low1 = x2 * 0xCD9E8D57u;
    x0 = high1 ^ x1 ^ k0;
    x1 = low1;
    x2 = high0 ^ x3 ^ k1;
    x3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int i = 0; i < W; ++i) {
    words[4 * i] = x0[i];
    words[4 * i + 1] = x1[i];
    words[4 * i + 2] = x2[i];
    words[4 * i + 3] = x3[i];
  }
}

template <class T>
void drop_row(const DropoutCall& c, int64_t r) {
  const T* x = row<T>(c.rows, r, 0);
  T* y = row<T>(c.rows, r, 1);
  const int32_t* keys = c.keys + r / c.rows_per_key * 2;
  const int64_t first = r % c.rows_per_key * c.rows.cols;  // number of the row's first element
  uint32_t words[5 * W] = {};  // the last piece may read past the 4 W words
  for (int64_t j = 0; j < c.rows.cols;) {
    const int64_t skip = (first + j) % 4, n = least((int64_t)4 * W - skip, c.rows.cols - j);
    philox((uint32_t)((first + j) / 4), keys, c, words);
    strip(n, [&](int64_t i, auto count) {
      U bits;
      memcpy(&bits, words + skip + i, sizeof(U));
      const F v = load(x + j + i, count);
      store(y + j + i, bits >= c.threshold ? v / c.keep : F{}, count);
    });
    j += n;
  }
}

}  // namespace

void dropout(const DropoutCall* c) {
  const RowCall& rows = c->rows;
  with_type(rows.type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(rows.threads) schedule(static) if (rows.nest.count * rows.cols > kParallel))
    for (int64_t r = 0; r < rows.nest.count; ++r) drop_row<T>(*c, r);
  });
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
