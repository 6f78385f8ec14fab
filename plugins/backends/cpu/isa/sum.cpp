// Sums over axes. Every result is added up in an order that depends on shapes alone.
#include "plugins/backends/cpu/isa/families.hpp"
#include "plugins/backends/cpu/isa/vec.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

template <class T, bool kSquares>
float sum_run(const T* x, int64_t n) {
  F a = {}, b = {};
  int64_t j = 0;
  for (; j + 2 * W <= n; j += 2 * W) {
    const F u = load(x + j), v = load(x + j + W);
    a += kSquares ? u * u : u;
    b += kSquares ? v * v : v;
  }
  strip(n - j, [&](int64_t i, auto count) {
    const F u = load(x + j + i, count);
    a += kSquares ? u * u : u;
  });
  return sum(a + b);
}

template <class Out>
void put_sum(Out* y, float total, bool accumulate) {
  put(y, accumulate ? scalar(y) + total : total);
}

}  // namespace

/// The reduced axes end in a run of c->cols neighbours; `reduced` holds those before it.
void sum_rows(const RowCall* c, const Nest* reduced, Type out, int32_t accumulate) {
  with_type(c->type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(c->threads) schedule(static) if (c->nest.count * reduced->count * c->cols > kParallel))
    for (int64_t r = 0; r < c->nest.count; ++r) {
      float total = 0;
      for (int64_t i = 0; i < reduced->count; ++i)
        total += sum_run<T, false>(row<T>(*c, r, 0) + offset(*reduced, i, 0), c->cols);
      if (out == kF32)
        put_sum(row<float>(*c, r, 1), total, accumulate);
      else
        put_sum(row<T>(*c, r, 1), total, accumulate);
    }
  });
}

namespace {

constexpr int64_t kColumns = 128;

template <class T, class Out>
void sum_column_block(const RowCall& c, const Nest& reduced, int64_t r, int64_t first,
                      bool accumulate) {
  const int64_t n = least(kColumns, c.cols - first);
  float sums[kColumns] = {};
  const T* x = row<T>(c, r, 0) + first;
  for (int64_t i = 0; i < reduced.count; ++i) {
    const T* in = x + offset(reduced, i, 0);
    strip(n, [&](int64_t j, auto count) {
      store(sums + j, load(sums + j, count) + load(in + j, count), count);
    });
  }
  Out* y = row<Out>(c, r, 1) + first;
  strip(n, [&](int64_t j, auto count) {
    const F v = load(sums + j, count);
    store(y + j, accumulate ? load(y + j, count) + v : v, count);
  });
}

}  // namespace

/// The kept axes end in a run of c->cols neighbours, in y too.
void sum_columns(const RowCall* c, const Nest* reduced, Type out, int32_t accumulate) {
  const int64_t blocks = ceil_div(c->cols, kColumns);
  with_type(c->type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(c->threads) schedule(static) if (c->nest.count * reduced->count * c->cols > kParallel))
    for (int64_t i = 0; i < c->nest.count * blocks; ++i) {
      if (out == kF32)
        sum_column_block<T, float>(*c, *reduced, i / blocks, i % blocks * kColumns, accumulate);
      else
        sum_column_block<T, T>(*c, *reduced, i / blocks, i % blocks * kColumns, accumulate);
    }
  });
}

double sum_dense([[maybe_unused]] int32_t threads, const void* x, Type type, int64_t n,
                 int32_t squares, double* partial) {
  const int64_t chunks = ceil_div(n, kSumChunk);
  with_type(type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(threads) schedule(static) if (chunks > 1))
    for (int64_t i = 0; i < chunks; ++i) {
      const T* from = (const T*)x + i * kSumChunk;
      const int64_t count = least(kSumChunk, n - i * kSumChunk);
      partial[i] = squares ? sum_run<T, true>(from, count) : sum_run<T, false>(from, count);
    }
  });
  double total = 0;
  for (int64_t i = 0; i < chunks; ++i) total += partial[i];
  return total;
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
