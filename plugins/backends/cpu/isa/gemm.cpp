// Matrix products in f32 of operands of any type and strides.
//
// Tall products pack the right operand once for the whole team, in slivers of kNR columns; tiles of
// the result are then independent units of work. Products of few rows are cut by columns instead,
// and each unit reads its own part of the right operand. Either way the sums of an element run over
// k in blocks of kDepth, whatever the other rows and threads are.
#include "plugins/backends/cpu/isa/gemm.hpp"

#include "plugins/backends/cpu/isa/families.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

constexpr int64_t kChunk = 2 << 20;    // elements of b that are packed at a time
constexpr int64_t kFewDots = 8;        // rows up to which x Wt is dot products
constexpr int64_t kFewRows = 32;       // rows up to which a product is cut by columns
constexpr int64_t kFewColumns = 64;    // columns of such a unit: its tile stays in the first cache
constexpr int64_t kSecondCache = 768;  // depth up to which kTileRows rows of a stay in it

/// One thread's memory: a tile of the result, a block of a, a block of b.
constexpr int64_t kTileFloats = kTileRows * kTileColumns;
constexpr int64_t kLeftFloats = kTileRows * kDepth;
constexpr int64_t kThreadFloats = kTileFloats + kLeftFloats;

enum class Way {
  kTall,       // a packed by the team, too: it is used for many columns
  kNarrow,     // one tile across: each unit packs its part of a
  kFew,        // few rows: cut by columns
  kDots,       // few rows, b's columns dense: dot products
  kTransposed  // few columns, a's columns dense: as kFew, ct = bt at
};
Way way_of(const GemmCall& c) {
  if (c.m <= kFewDots && c.b_row == 1 && c.b_col != 1) return Way::kDots;
  if (c.m <= kFewRows && c.b_col == 1) return Way::kFew;
  if (c.n <= kFewRows && c.a_row == 1 && c.a_col != 1 && c.m > c.n && !c.bias)
    return Way::kTransposed;
  return c.n <= kTileColumns ? Way::kNarrow : Way::kTall;
}

int64_t chunk_columns(const GemmCall& c) {
  const int64_t fit =
      most(kTileColumns, kChunk / most(c.k, (int64_t)1) / kTileColumns * kTileColumns);
  return least(round_up(c.n, kNR), fit);
}

struct Workspace {
  float *thread, *left, *right;  // this thread's; a packed; a chunk of b packed
};
Workspace lay_out(const GemmCall& c) {
  float* start = (float*)c.workspace;
  Workspace w;
  w.thread = start + thread_number() * kThreadFloats;
  w.left = start + c.threads * kThreadFloats;
  w.right = w.left;
  if (way_of(c) == Way::kTall) w.right += round_up(c.m, kMR) * c.k;
  return w;
}

template <class A>
void pack_left_by_team(const GemmCall& c, float* out) {
  GRAFT_OMP(for schedule(static))
  for (int64_t i = 0; i < c.m; i += kTileRows)
    pack_left(least(kTileRows, c.m - i), c.k, (const A*)c.a + i * c.a_row, c.a_row, c.a_col,
              out + i * c.k, c.k);
}

template <class B>
void pack_right_by_team(const GemmCall& c, int64_t first, int64_t columns, float* out) {
  GRAFT_OMP(for schedule(static))
  for (int64_t j = 0; j < columns; j += kNR)
    pack_sliver(c.k, least((int64_t)kNR, columns - j), (const B*)c.b + (first + j) * c.b_col,
                c.b_row, c.b_col, out + j * c.k);
}

/// How the result is cut into units of work.
struct Tiles {
  int64_t rows, columns;  // of a tile
  int64_t down;           // tiles one above the other
};
Tiles cut(const GemmCall& c, int64_t columns, bool across) {
  Tiles t;
  t.down = ceil_div(c.m, kTileRows);
  if (!across)
    t.down = most(t.down, least(ceil_div(c.m, (int64_t)4 * kMR), (int64_t)4 * c.threads));
  t.rows = round_up(ceil_div(c.m, t.down), kMR);
  t.down = ceil_div(c.m, t.rows);
  t.columns = kTileColumns;
  if (across)
    t.columns =
        least(kTileColumns, round_up(ceil_div(columns * t.down, (int64_t)4 * c.threads), kNR));
  return t;
}

/// One unit: rows x width of the result. `left` is packed with `left_depth` steps from l = 0 on,
/// or, if NULL, packed here.
template <class A>
void multiply_tile(const GemmCall& c, const Workspace& w, const float* left, int64_t row,
                   int64_t rows, int64_t column, int64_t width, const float* right) {
  float *tile = w.thread, *own = tile + kTileFloats;
  const int64_t padded = round_up(rows, kMR);
  if (left && c.k <= kSecondCache) {
    for (int64_t first = 0; first < width; first += kFewColumns) {
      const int64_t columns = least(kFewColumns, width - first);
      for (int64_t j = 0; j < columns; j += kNR)
        for (int64_t l = 0; l < c.k || l == 0; l += kDepth)
          micro_panels(padded, least(kDepth, c.k - l), left + l * kMR, c.k * kMR,
                       right + (first + j) * c.k + l * kNR, tile + j, kFewColumns, l > 0);
      write_tile(c, tile, kFewColumns, row, rows, column + first, columns);
    }
    return;
  }
  for (int64_t l = 0; l < c.k || l == 0; l += kDepth) {
    const int64_t depth = least(kDepth, c.k - l);
    const float* part = left + l * kMR;
    int64_t panel = c.k * kMR;
    if (!left) {
      pack_left(rows, depth, (const A*)c.a + row * c.a_row + l * c.a_col, c.a_row, c.a_col, own,
                depth);
      part = own;
      panel = depth * kMR;
    }
    for (int64_t j = 0; j < width; j += kNR)
      micro_panels(padded, depth, part, panel, right + j * c.k + l * kNR, tile + j, kTileColumns,
                   l > 0);
  }
  write_tile(c, tile, kTileColumns, row, rows, column, width);
}

/// All threads of the team call this together, as all functions below.
template <class A, class B>
void multiply_tall(const GemmCall& c, const Workspace& w, bool narrow) {
  if (!narrow) pack_left_by_team<A>(c, w.left);
  const int64_t chunk = chunk_columns(c);
  for (int64_t first = 0; first < c.n; first += chunk) {
    const int64_t columns = least(chunk, c.n - first);
    pack_right_by_team<B>(c, first, columns, w.right);
    const Tiles tiles = cut(c, columns, !narrow);
    const int64_t count = tiles.down * ceil_div(columns, tiles.columns);
    GRAFT_OMP(for schedule(dynamic))
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = i % tiles.down * tiles.rows, rows = least(tiles.rows, c.m - row);
      const int64_t column = i / tiles.down * tiles.columns;
      multiply_tile<A>(c, w, narrow ? nullptr : w.left + row * c.k, row, rows, first + column,
                       least(tiles.columns, columns - column), w.right + column * c.k);
    }
  }
}

/// Few rows: a packed by the team, b block by block by whom it concerns.
template <class A, class B>
void multiply_few(const GemmCall& c, const Workspace& w) {
  float *tile = w.thread, *block = tile + kTileFloats;
  const int64_t padded = round_up(c.m, kMR);
  GRAFT_OMP(single)
  pack_left(c.m, c.k, (const A*)c.a, c.a_row, c.a_col, w.left, c.k);
  GRAFT_OMP(for schedule(dynamic))
  for (int64_t first = 0; first < c.n; first += kFewColumns) {
    const int64_t width = least(kFewColumns, c.n - first);
    for (int64_t l = 0; l < c.k || l == 0; l += kDepth) {
      const int64_t depth = least(kDepth, c.k - l);
      for (int64_t j = 0; j < width; j += kNR) {
        pack_sliver(depth, least((int64_t)kNR, width - j),
                    (const B*)c.b + l * c.b_row + (first + j) * c.b_col, c.b_row, c.b_col, block);
        micro_panels(padded, depth, w.left + l * kMR, c.k * kMR, block, tile + j, kFewColumns,
                     l > 0);
      }
    }
    write_tile(c, tile, kFewColumns, 0, c.m, first, width);
  }
}

/// Few rows, b's columns dense: dot products of f32 rows with columns as they lie. The columns are
/// dealt out once and each thread widens the rows for itself: such products take microseconds, and
/// waiting for one another would take longer.
template <class A, class B>
void multiply_dots(const GemmCall& c, const Workspace& w) {
  const int64_t block = 64, threads = team_size(), thread = thread_number();
  const int64_t groups = ceil_div(c.n, (int64_t)kDotColumns);
  const int64_t begin = groups * thread / threads * kDotColumns;
  const int64_t end = least(groups * (thread + 1) / threads * kDotColumns, c.n);
  float* rows = w.left + thread * c.m * c.k;
  for (int64_t i = 0; i < c.m; ++i) {
    const A* from = (const A*)c.a + i * c.a_row;
    if (c.a_col == 1) {
      strip(c.k, [&](int64_t l, auto n) { store(rows + i * c.k + l, load(from + l, n), n); });
    } else {
      for (int64_t l = 0; l < c.k; ++l) rows[i * c.k + l] = scalar(from + l * c.a_col);
    }
  }
  for (int64_t first = begin; first < end; first += block) {
    const int64_t width = least(block, end - first);
    dot_block(c.m, width, c.k, rows, (const B*)c.b + first * c.b_col, c.b_col, w.thread, block);
    write_tile(c, w.thread, block, 0, c.m, first, width);
  }
}

GemmCall transposed(const GemmCall& c) {
  GemmCall t = c;
  t.m = c.n;
  t.n = c.m;
  t.a = c.b;
  t.a_row = c.b_col;
  t.a_col = c.b_row;
  t.a_type = c.b_type;
  t.b = c.a;
  t.b_row = c.a_col;
  t.b_col = c.a_row;
  t.b_type = c.a_type;
  t.c_row = c.c_col;
  t.c_col = c.c_row;
  return t;
}

}  // namespace

uint64_t gemm_workspace(const GemmCall* c) {
  // An upper bound over all ways that never falls when an extent grows: run() may see smaller ones.
  // The transposed way has fewer rows than this one; those of few rows pack nothing of b.
  const bool few = c->m <= kFewRows && c->b_col == 1;
  const int64_t right =
      few ? 0 : least(round_up(c->n, kNR) * c->k, most(kChunk, kTileColumns * c->k));
  const int64_t dots = c->threads * least(c->m, kFewDots) * c->k;
  const int64_t left = most(round_up(c->m, kMR) * c->k, dots);
  return sizeof(float) * (uint64_t)(c->threads * kThreadFloats + left + right);
}

void gemm(const GemmCall* call) {
  const Way way = way_of(*call);
  const GemmCall c = way == Way::kTransposed ? transposed(*call) : *call;
  with_type(c.a_type, [&](auto a) {
    with_type(c.b_type, [&](auto b) {
      typedef typename decltype(a)::type A;
      typedef typename decltype(b)::type B;
      GRAFT_OMP(parallel num_threads(c.threads) if (c.m * c.n * c.k > 32768)) {
        const Workspace w = lay_out(c);
        if (way == Way::kTall || way == Way::kNarrow)
          multiply_tall<A, B>(c, w, way == Way::kNarrow);
        else if (way == Way::kDots)
          multiply_dots<A, B>(c, w);
        else
          multiply_few<A, B>(c, w);
      }
    });
  });
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
