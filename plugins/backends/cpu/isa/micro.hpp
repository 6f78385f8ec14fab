// The inner product of all matrix work: a tile of kMR x kNR sums in registers.
#ifndef GRAFT_CPU_ISA_MICRO_HPP
#define GRAFT_CPU_ISA_MICRO_HPP
#include "plugins/backends/cpu/isa/vec.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

#if defined(__AVX512F__)
constexpr int kMR = 12;  // 24 of 32 registers hold sums
#else
constexpr int kMR = 6;  // 12 of 16
#endif
constexpr int kNR = 2 * W;

/// a(i, l) is at i * row + l * col.
struct Left {
  const float* p;
  int64_t row, col;
};

/// c[M, kNR] (+)= a[M, k] b[k, kNR]; row l of b is at b + l * b_row. One of a's strides is 1, and
/// kUnitCol says which.
template <int M, bool kUnitCol, class B>
void micro_tile(int64_t k, Left a, const B* b, int64_t b_row, float* c, int64_t c_row, bool add) {
  F sums[M][2];
  GRAFT_UNROLL
  for (int i = 0; i < M; ++i) sums[i][0] = sums[i][1] = F{};
  const int64_t row = kUnitCol ? a.row : 1, col = kUnitCol ? 1 : a.col;
  const float* p = a.p;
  for (int64_t l = 0; l < k; ++l) {
    const F b0 = load(b), b1 = load(b + W);
    b += b_row;
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) {
      const F x = splat(p[i * row]);
      sums[i][0] += x * b0;
      sums[i][1] += x * b1;
    }
    p += col;
  }
  GRAFT_UNROLL
  for (int i = 0; i < M; ++i) {
    float* out = c + i * c_row;
    store(out, add ? load(out) + sums[i][0] : sums[i][0]);
    store(out + W, add ? load(out + W) + sums[i][1] : sums[i][1]);
  }
}

template <int M, bool kUnitCol, class B>
void micro_tail(int m, int64_t k, Left a, const B* b, int64_t b_row, float* c, int64_t c_row,
                bool add) {
  if constexpr (M > 0) {
    if (m == M) return micro_tile<M, kUnitCol>(k, a, b, b_row, c, c_row, add);
    micro_tail<M - 1, kUnitCol>(m, k, a, b, b_row, c, c_row, add);
  }
}

/// c[m, kNR] (+)= a[m, k] b[k, kNR]
template <class B>
GRAFT_INLINE void micro_panel(int64_t m, int64_t k, Left a, const B* b, int64_t b_row, float* c,
                              int64_t c_row, bool add) {
  if (a.col == 1) {
    for (; m >= kMR; m -= kMR, a.p += kMR * a.row, c += kMR * c_row)
      micro_tile<kMR, true>(k, a, b, b_row, c, c_row, add);
    if (m) micro_tail<kMR - 1, true>((int)m, k, a, b, b_row, c, c_row, add);
  } else {
    for (; m >= kMR; m -= kMR, a.p += kMR, c += kMR * c_row)
      micro_tile<kMR, false>(k, a, b, b_row, c, c_row, add);
    if (m) micro_tail<kMR - 1, false>((int)m, k, a, b, b_row, c, c_row, add);
  }
}

/// A packed right operand: ceil(n / kNR) slivers of [k, kNR], zeros behind column n.
GRAFT_INLINE int64_t packed_size(int64_t k, int64_t n) {
  return k * round_up(n, kNR);
}

/// c[m, round_up(n, kNR)] (+)= a b, with b packed.
GRAFT_INLINE void multiply_packed(int64_t m, int64_t n, int64_t k, Left a, const float* packed,
                                  float* c, int64_t c_row, bool add) {
  for (int64_t j = 0; j < n; j += kNR)
    micro_panel(m, k, a, packed + j * k, (int64_t)kNR, c + j, c_row, add);
}

/// One sliver out of rows that are dense: b(l, j) at l * row + j, n <= kNR columns.
template <class T>
GRAFT_INLINE void pack_rows(int64_t k, int64_t n, const T* b, int64_t row, float* out) {
  if (n == kNR) {
    for (int64_t l = 0; l < k; ++l, b += row, out += kNR) {
      store(out, load(b));
      store(out + W, load(b + W));
    }
    return;
  }
  for (int64_t l = 0; l < k; ++l, b += row, out += kNR)
    for (int64_t j = 0; j < kNR; ++j) out[j] = j < n ? scalar(b + j) : 0;
}

/// W rows of W elements become W columns: log2(W) rounds of swapping halves of blocks.
GRAFT_INLINE void transpose(F* x) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  __m256 t[8], u[8];
  GRAFT_UNROLL
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps((__m256)x[i], (__m256)x[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps((__m256)x[i], (__m256)x[i + 1]);
  }
  GRAFT_UNROLL
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  GRAFT_UNROLL
  for (int i = 0; i < 4; ++i) {
    x[i] = (F)_mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
    x[i + 4] = (F)_mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
  }
#elif defined(__AVX512F__)
  GRAFT_UNROLL
  for (int s = 1; s < W; s *= 2) {
    I low, high;  // lanes to take from two rows s apart; 16 and more are the second one's
    for (int j = 0; j < W; ++j) {
      low[j] = j & s ? W + j - s : j;
      high[j] = j & s ? W + j : j + s;
    }
    GRAFT_UNROLL
    for (int i = 0; i < W; ++i) {
      if (i & s) continue;
      const __m512 a = (__m512)x[i], b = (__m512)x[i + s];
      x[i] = (F)_mm512_permutex2var_ps(a, (__m512i)low, b);
      x[i + s] = (F)_mm512_permutex2var_ps(a, (__m512i)high, b);
    }
  }
#else
  float rows[W][W];
  for (int i = 0; i < W; ++i) store(rows[i], x[i]);
  for (int i = 0; i < W; ++i)
    for (int j = 0; j < W; ++j) x[i][j] = rows[j][i];
#endif
}

/// One sliver out of columns that are dense: b(l, j) at l + j * col.
template <class T>
GRAFT_INLINE void pack_columns(int64_t k, int64_t n, const T* b, int64_t col, float* out) {
  int64_t l = 0;
  if (n == kNR) {
    for (; l + W <= k; l += W) {
      GRAFT_UNROLL
      for (int half = 0; half < 2; ++half) {
        F x[W];
        GRAFT_UNROLL
        for (int j = 0; j < W; ++j) x[j] = load(b + l + (half * W + j) * col);
        transpose(x);
        GRAFT_UNROLL
        for (int j = 0; j < W; ++j) store(out + (l + j) * kNR + half * W, x[j]);
      }
    }
  }
  for (; l < k; ++l)
    for (int64_t j = 0; j < kNR; ++j) out[l * kNR + j] = j < n ? scalar(b + l + j * col) : 0;
}

/// One sliver out of any strides.
template <class T>
GRAFT_INLINE void pack_sliver(int64_t k, int64_t n, const T* b, int64_t row, int64_t col,
                              float* out) {
  if (col == 1) return pack_rows(k, n, b, row, out);
  if (row == 1) return pack_columns(k, n, b, col, out);
  for (int64_t l = 0; l < k; ++l)
    for (int64_t j = 0; j < kNR; ++j) out[l * kNR + j] = j < n ? scalar(b + l * row + j * col) : 0;
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
#endif
