// Matrix products in f32 of operands of any type and strides.
//
// Tall products pack the right operand once for the whole team, in slivers of kNR columns, and
// expand a 16-bit left operand; tiles of the result are then independent units of work. A product
// of few rows reads the right operand where it lies. The sums of an element run over k in blocks of
// kDepth, whatever the other rows and threads are.
#include "plugins/backends/cpu/isa/families.hpp"
#include "plugins/backends/cpu/isa/micro.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

constexpr int64_t kDepth = 256;    // a sliver of kDepth rows stays in the first cache
constexpr int64_t kTileRows = 96;  // kTileRows x kDepth of a and the tile stay in the second
constexpr int64_t kTileColumns = 256;
constexpr int64_t kChunk = 2 << 20;  // elements of b that are packed at a time
constexpr int64_t kFewDots = 8;      // rows up to which x Wt is dot products
constexpr int64_t kFewRows = 32;     // rows up to which b is read where it lies

constexpr int64_t kTileFloats = kTileRows * kTileColumns;

bool expands_left(const GemmCall& c) {
  return c.a_type != kF32 || (c.a_row != 1 && c.a_col != 1);
}
bool left_by_columns(const GemmCall& c) {
  return c.a_row == 1 && c.a_col != 1;
}
int64_t chunk_columns(const GemmCall& c) {
  const int64_t fit =
      most(kTileColumns, kChunk / most(c.k, (int64_t)1) / kTileColumns * kTileColumns);
  return least(round_up(c.n, kNR), fit);
}

/// The left operand as f32, rows or columns as they lay.
template <class T>
void expand_left(const GemmCall& c, float* out) {
  const T* a = (const T*)c.a;
  const bool columns = left_by_columns(c);
  const int64_t lines = columns ? c.k : c.m, length = columns ? c.m : c.k;
  const int64_t line = columns ? c.a_col : c.a_row, step = columns ? c.a_row : c.a_col;
  GRAFT_OMP(for schedule(static))
  for (int64_t i = 0; i < lines; ++i) {
    const T* from = a + i * line;
    float* to = out + i * length;
    if (step == 1)
      strip(length, [&](int64_t j, auto n) { store(to + j, load(from + j, n), n); });
    else
      for (int64_t j = 0; j < length; ++j) to[j] = scalar(from + j * step);
  }
}

/// Rows [row, row + rows) of the result from the f32 tile.
template <class Out, class Bias>
void write_tile(const GemmCall& c, const float* tile, int64_t tile_row, int64_t row, int64_t rows,
                int64_t column, int64_t columns) {
  const Bias* bias = c.bias ? (const Bias*)c.bias + column : nullptr;
  for (int64_t i = 0; i < rows; ++i) {
    const float* from = tile + i * tile_row;
    Out* to = (Out*)c.c + (row + i) * c.c_row + column;
    strip(columns, [&](int64_t j, auto n) {
      F v = load(from + j, n) * c.alpha;
      if (bias) v += load(bias + j, n);
      if (c.accumulate) v += load(to + j, n);
      store(to + j, v, n);
    });
  }
}
void write_tile(const GemmCall& c, const float* tile, int64_t tile_row, int64_t row, int64_t rows,
                int64_t column, int64_t columns) {
  with_type(c.c_type, [&](auto out) {
    with_type(c.a_type, [&](auto bias) {
      write_tile<typename decltype(out)::type, typename decltype(bias)::type>(
          c, tile, tile_row, row, rows, column, columns);
    });
  });
}

struct Workspace {
  float *tiles, *left, *right;  // one tile per thread; a expanded; a chunk of b packed
};

Workspace lay_out(const GemmCall& c) {
  Workspace w;
  w.tiles = (float*)c.workspace;
  w.left = w.tiles + c.threads * kTileFloats;
  w.right = w.left + (expands_left(c) ? round_up(c.m * c.k, 16) : 0);
  return w;
}

Left left_of(const GemmCall& c, const Workspace& w) {
  if (!expands_left(c)) return {(const float*)c.a, c.a_row, c.a_col};
  if (left_by_columns(c)) return {w.left, 1, c.m};
  return {w.left, c.k, 1};
}

/// How the result is cut into units of work.
struct Tiles {
  int64_t rows, columns;  // of a tile
  int64_t down;           // tiles one above the other
};
Tiles cut(const GemmCall& c, int64_t columns) {
  Tiles t;
  t.down = ceil_div(c.m, kTileRows);
  t.rows = round_up(ceil_div(c.m, t.down), kMR);
  t.down = ceil_div(c.m, t.rows);
  const int64_t fair = ceil_div(columns * t.down, (int64_t)4 * c.threads);
  t.columns = least(kTileColumns, round_up(fair, kNR));
  return t;
}

/// All threads of the team call this together.
void multiply_tall(const GemmCall& c, const Workspace& w, float* tile) {
  const Left a = left_of(c, w);
  const int64_t chunk = chunk_columns(c);
  for (int64_t first = 0; first < c.n; first += chunk) {
    const int64_t columns = least(chunk, c.n - first);
    with_type(c.b_type, [&](auto t) {
      typedef typename decltype(t)::type B;
      GRAFT_OMP(for schedule(static))
      for (int64_t j = 0; j < columns; j += kNR)
        pack_sliver(c.k, least((int64_t)kNR, columns - j), (const B*)c.b + (first + j) * c.b_col,
                    c.b_row, c.b_col, w.right + j * c.k);
    });
    const Tiles tiles = cut(c, columns);
    const int64_t count = tiles.down * ceil_div(columns, tiles.columns);
    GRAFT_OMP(for schedule(dynamic))
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = i % tiles.down * tiles.rows, rows = least(tiles.rows, c.m - row);
      const int64_t column = i / tiles.down * tiles.columns;
      const int64_t width = least(tiles.columns, columns - column);
      for (int64_t l = 0; l < c.k || l == 0; l += kDepth) {
        const int64_t depth = least(kDepth, c.k - l);
        const Left part{a.p + row * a.row + l * a.col, a.row, a.col};
        for (int64_t j = 0; j < width; j += kNR)
          micro_panel(rows, depth, part, w.right + (column + j) * c.k + l * kNR, (int64_t)kNR,
                      tile + j, kTileColumns, l > 0);
      }
      write_tile(c, tile, kTileColumns, row, rows, first + column, width);
    }
  }
}

/// Few rows, b's rows dense: slivers of b are read where they lie.
template <class B>
void multiply_few_by_rows(const GemmCall& c, const Left& a, float* tile) {
  GRAFT_OMP(for schedule(static))
  for (int64_t j = 0; j < c.n; j += kNR) {
    const int64_t width = least((int64_t)kNR, c.n - j);
    for (int64_t l = 0; l < c.k || l == 0; l += kDepth) {
      const int64_t depth = least(kDepth, c.k - l);
      const Left part{a.p + l * a.col, a.row, a.col};
      const B* b = (const B*)c.b + l * c.b_row + j;
      if (width == kNR) {
        micro_panel(c.m, depth, part, b, c.b_row, tile, (int64_t)kNR, l > 0);
      } else {
        float sliver[kDepth * kNR];
        pack_rows(depth, width, b, c.b_row, sliver);
        micro_panel(c.m, depth, part, (const float*)sliver, (int64_t)kNR, tile, (int64_t)kNR,
                    l > 0);
      }
    }
    write_tile(c, tile, kNR, 0, c.m, j, width);
  }
}

constexpr int kDotRows = 3, kDotColumns = 4;

/// tile[i, j] = a row i times b column j, both dense, for M rows and kDotColumns columns.
template <int M, class B>
void dot_tile(int64_t k, const float* a, int64_t a_row, const B* b, int64_t b_col, float* tile,
              int64_t tile_row) {
  F sums[M][kDotColumns];
  GRAFT_UNROLL
  for (int i = 0; i < M; ++i) GRAFT_UNROLL
  for (int j = 0; j < kDotColumns; ++j) sums[i][j] = F{};
  strip(k, [&](int64_t l, auto n) {
    F x[M];
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) x[i] = load(a + i * a_row + l, n);
    GRAFT_UNROLL
    for (int j = 0; j < kDotColumns; ++j) {
      const F y = load(b + j * b_col + l, n);
      GRAFT_UNROLL
      for (int i = 0; i < M; ++i) sums[i][j] += x[i] * y;
    }
  });
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < kDotColumns; ++j) tile[i * tile_row + j] = sum(sums[i][j]);
}

template <class B>
void dot_panel(const GemmCall& c, const Left& a, const B* b, float* tile, int64_t tile_row) {
  int64_t i = 0;
  for (; i + kDotRows <= c.m; i += kDotRows)
    dot_tile<kDotRows>(c.k, a.p + i * a.row, a.row, b, c.b_col, tile + i * tile_row, tile_row);
  if (c.m - i == 2)
    dot_tile<2>(c.k, a.p + i * a.row, a.row, b, c.b_col, tile + i * tile_row, tile_row);
  if (c.m - i == 1)
    dot_tile<1>(c.k, a.p + i * a.row, a.row, b, c.b_col, tile + i * tile_row, tile_row);
}

/// Few rows, b's columns dense: dot products.
template <class B>
void multiply_few_by_columns(const GemmCall& c, const Left& a, float* tile) {
  const int64_t block = 64;
  GRAFT_OMP(for schedule(static))
  for (int64_t first = 0; first < c.n; first += block) {
    const int64_t width = least(block, c.n - first);
    const B* b = (const B*)c.b + first * c.b_col;
    // The last columns once more where their number does not divide: same sums, no tail.
    for (int64_t j = 0; j < width; j += kDotColumns) {
      const int64_t at = most(least(j, width - kDotColumns), (int64_t)0);
      if (width >= kDotColumns) {
        dot_panel(c, a, b + at * c.b_col, tile + at, block);
        continue;
      }
      for (int64_t i = 0; i < c.m; ++i)
        for (int64_t column = 0; column < width; ++column) {
          F total = {};
          strip(c.k, [&](int64_t l, auto n) {
            total += load(a.p + i * a.row + l, n) * load(b + column * c.b_col + l, n);
          });
          tile[i * block + column] = sum(total);
        }
    }
    write_tile(c, tile, block, 0, c.m, first, width);
  }
}

enum class Way { kTall, kByRows, kByColumns };
Way way_of(const GemmCall& c) {
  const bool dense_left = c.a_col == 1 || !left_by_columns(c);  // rows dense once expanded
  if (c.m <= kFewDots && c.b_row == 1 && dense_left) return Way::kByColumns;
  if (c.m <= kFewRows && c.b_col == 1) return Way::kByRows;
  return Way::kTall;
}

}  // namespace

uint64_t gemm_workspace(const GemmCall* c) {
  // An upper bound that never falls when an extent grows: extents may be smaller in run().
  const int64_t packed = least(round_up(c->n, kNR) * c->k, most(kChunk, kTileColumns * c->k));
  const int64_t left = expands_left(*c) ? round_up(c->m * c->k, 16) : 0;
  return sizeof(float) * (uint64_t)(c->threads * kTileFloats + left + packed);
}

void gemm(const GemmCall* call) {
  const GemmCall& c = *call;
  const Workspace w = lay_out(c);
  GRAFT_OMP(parallel num_threads(c.threads) if (c.m * c.n * c.k > 32768)) {
    float* tile = w.tiles + thread_number() * kTileFloats;
    if (expands_left(c))
      with_type(c.a_type, [&](auto t) { expand_left<typename decltype(t)::type>(c, w.left); });
    const Left a = left_of(c, w);
    switch (way_of(c)) {
      case Way::kTall:
        multiply_tall(c, w, tile);
        break;
      case Way::kByRows:
        with_type(c.b_type,
                  [&](auto t) { multiply_few_by_rows<typename decltype(t)::type>(c, a, tile); });
        break;
      case Way::kByColumns:
        with_type(c.b_type,
                  [&](auto t) { multiply_few_by_columns<typename decltype(t)::type>(c, a, tile); });
        break;
    }
  }
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
