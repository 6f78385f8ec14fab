// The parts of a matrix product: packing the left operand, writing tiles, dot products.
#ifndef GRAFT_CPU_ISA_GEMM_HPP
#define GRAFT_CPU_ISA_GEMM_HPP
#include "plugins/backends/cpu/isa/micro.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

constexpr int64_t kDepth = 256;    // a sliver of kDepth rows stays in the first cache
constexpr int64_t kTileRows = 96;  // kTileRows x kDepth of a and the tile stay in the second
constexpr int64_t kTileColumns = 256;
static_assert(kTileRows % kMR == 0 && kTileColumns % kNR == 0);

/// Rows of the left operand in panels of kMR: panel p holds element (p kMR + i, l) at
/// out[p depth_of_out kMR + l kMR + i]; rows behind the last one are zero.
template <class T>
void pack_left(int64_t rows, int64_t depth, const T* a, int64_t row, int64_t col, float* out,
               int64_t depth_of_out) {
  constexpr int64_t kStep = 128;  // lines of a dense column stay in the first cache meanwhile
  for (int64_t first = 0; first < depth; first += kStep) {
    const int64_t end = least(first + kStep, depth);
    for (int64_t i = 0; i < rows; i += kMR) {
      float* to = out + i * depth_of_out;
      const T* from = a + i * row;
      const int64_t n = least((int64_t)kMR, rows - i);
      int64_t l = first;
      if (W > kMR && n == kMR && col == 1) {
        // W steps at a time. What a store writes behind its kMR elements, the next one replaces.
        for (; l + W <= end; l += W) {
          F x[W] = {};
          GRAFT_UNROLL
          for (int r = 0; r < kMR && r < W; ++r) x[r] = load(from + r * row + l);
          transpose(x);
          GRAFT_UNROLL
          for (int s = 0; s + 1 < W; ++s) store(to + (l + s) * kMR, x[s]);
          store(to + (l + W - 1) * kMR, x[W - 1], kMR);
        }
      }
      for (; l < end; ++l)
        for (int64_t r = 0; r < kMR; ++r)
          to[l * kMR + r] = r < n ? scalar(from + r * row + l * col) : 0;
    }
  }
}

/// c[rows, kNR] (+)= panels times a sliver; rows is a multiple of kMR.
GRAFT_INLINE void micro_panels(int64_t rows, int64_t depth, const float* left, int64_t panel,
                               const float* sliver, float* c, int64_t c_row, bool add) {
  for (int64_t i = 0; i < rows; i += kMR, left += panel, c += kMR * c_row)
    micro_tile<kMR, false>(depth, {left, 1, kMR}, sliver, (int64_t)kNR, c, c_row, add);
}

template <class Out, class Bias>
void write_tile_as(const GemmCall& c, const float* tile, int64_t tile_row, int64_t row,
                   int64_t rows, int64_t column, int64_t columns) {
  const Bias* bias = c.bias ? (const Bias*)c.bias + column : nullptr;
  Out* to = (Out*)c.c + row * c.c_row + column * c.c_col;
  if (c.c_col != 1) {  // the result is transposed, and small
    for (int64_t j = 0; j < columns; ++j)
      for (int64_t i = 0; i < rows; ++i) {
        Out* at = to + i * c.c_row + j * c.c_col;
        const float v = tile[i * tile_row + j] * c.alpha;
        put(at, c.accumulate ? scalar(at) + v : v);
      }
    return;
  }
  for (int64_t i = 0; i < rows; ++i, to += c.c_row, tile += tile_row) {
    strip(columns, [&](int64_t j, auto n) {
      F v = load(tile + j, n) * c.alpha;
      if (bias) v += load(bias + j, n);
      if (c.accumulate) v += load(to + j, n);
      store(to + j, v, n);
    });
  }
}
/// Part of the result from the f32 tile, scaled, biased, rounded once.
GRAFT_INLINE void write_tile(const GemmCall& c, const float* tile, int64_t tile_row, int64_t row,
                             int64_t rows, int64_t column, int64_t columns) {
  with_type(c.c_type, [&](auto out) {
    with_type(c.a_type, [&](auto bias) {
      write_tile_as<typename decltype(out)::type, typename decltype(bias)::type>(
          c, tile, tile_row, row, rows, column, columns);
    });
  });
}

// ---- dot products -------------------------------------------------------------------------------

constexpr int kDotRows = 3, kDotColumns = 4;

/// tile[i, j] = row i of a times column j of b, both dense.
template <int M, int N, class B>
void dot_tile(int64_t k, const float* a, const B* b, int64_t b_col, float* tile, int64_t tile_row) {
  F sums[M][N];
  GRAFT_UNROLL
  for (int i = 0; i < M; ++i) GRAFT_UNROLL
  for (int j = 0; j < N; ++j) sums[i][j] = F{};
  strip(k, [&](int64_t l, auto n) {
    F x[M];
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) x[i] = load(a + i * k + l, n);
    GRAFT_UNROLL
    for (int j = 0; j < N; ++j) {
      const F y = load(b + j * b_col + l, n);
      // The columns of the tile after the next: b is read once and comes from memory, and the
      // processor's own prefetching stops at each page.
      __builtin_prefetch(b + (j + 2 * N) * b_col + l);
      GRAFT_UNROLL
      for (int i = 0; i < M; ++i) sums[i][j] += x[i] * y;
    }
  });
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j) tile[i * tile_row + j] = sum(sums[i][j]);
}

template <int N, class B>
void dot_columns(int64_t m, int64_t k, const float* a, const B* b, int64_t b_col, float* tile,
                 int64_t tile_row) {
  int64_t i = 0;
  for (; i + kDotRows <= m; i += kDotRows)
    dot_tile<kDotRows, N>(k, a + i * k, b, b_col, tile + i * tile_row, tile_row);
  if (m - i == 2) dot_tile<2, N>(k, a + i * k, b, b_col, tile + i * tile_row, tile_row);
  if (m - i == 1) dot_tile<1, N>(k, a + i * k, b, b_col, tile + i * tile_row, tile_row);
}

template <class B>
void dot_block(int64_t m, int64_t n, int64_t k, const float* a, const B* b, int64_t b_col,
               float* tile, int64_t tile_row) {
  int64_t j = 0;
  for (; j + kDotColumns <= n; j += kDotColumns)
    dot_columns<kDotColumns>(m, k, a, b + j * b_col, b_col, tile + j, tile_row);
  for (; j < n; ++j) dot_columns<1>(m, k, a, b + j * b_col, b_col, tile + j, tile_row);
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
#endif
