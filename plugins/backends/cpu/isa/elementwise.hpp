// The loop of the elementwise kernels.
#ifndef GRAFT_CPU_ISA_ELEMENTWISE_HPP
#define GRAFT_CPU_ISA_ELEMENTWISE_HPP
#include "plugins/backends/cpu/isa/vec.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

constexpr int64_t kPiece = 4096;  // elements of a run that are one unit of work

/// body(run, from, to) for pieces of the runs, in parallel.
template <class Body>
GRAFT_INLINE void for_pieces(const ElementCall& c, Body body) {
  const int64_t pieces = ceil_div(c.length, kPiece), work = c.nest.count * pieces;
  if (pieces == 1) {
    GRAFT_OMP(parallel for num_threads(c.threads) schedule(static) if (c.nest.count * c.length > kParallel))
    for (int64_t run = 0; run < c.nest.count; ++run) body(run, (int64_t)0, c.length);
    return;
  }
  GRAFT_OMP(parallel for num_threads(c.threads) schedule(static) if (work > 2))
  for (int64_t i = 0; i < work; ++i) {
    const int64_t from = i % pieces * kPiece;
    body(i / pieces, from, least(from + kPiece, c.length));
  }
}

/// A run of view i: dense, or one value for the whole run, or strided.
template <class T>
struct Run {
  const T* p;
  int64_t step;
  GRAFT_INLINE_MEMBER F at(int64_t j, All) const {
    if (step == 1) return load(p + j);
    if (step == 0) return splat(scalar(p));
    F x;
    for (int i = 0; i < W; ++i) x[i] = scalar(p + (j + i) * step);
    return x;
  }
  GRAFT_INLINE_MEMBER F at(int64_t j, int n) const {
    F x = {};
    for (int i = 0; i < n; ++i) x[i] = scalar(p + (j + i) * step);
    return x;
  }
};
template <class T>
GRAFT_INLINE void put(T* p, int64_t step, int64_t j, F x, All) {
  if (step == 1) return store(p + j, x);
  for (int i = 0; i < W; ++i) put(p + (j + i) * step, x[i]);
}
template <class T>
GRAFT_INLINE void put(T* p, int64_t step, int64_t j, F x, int n) {
  for (int i = 0; i < n; ++i) put(p + (j + i) * step, x[i]);
}

/// y = f(x) over views 0, 1.
template <class T, class Function>
GRAFT_INLINE void map1(const ElementCall& c, Function f) {
  for_pieces(c, [&](int64_t run, int64_t from, int64_t to) {
    const Run<T> x{(const T*)c.data[0] + offset(c.nest, run, 0), c.step[0]};
    T* y = (T*)c.data[1] + offset(c.nest, run, 1);
    if (c.step[0] == 1 && c.step[1] == 1)
      strip(to - from,
            [&](int64_t j, auto n) { store(y + from + j, f(load(x.p + from + j, n)), n); });
    else
      strip(to - from,
            [&](int64_t j, auto n) { put(y, c.step[1], from + j, f(x.at(from + j, n)), n); });
  });
}

/// y = f(a, b) over views 0, 1, 2.
template <class T, class Function>
GRAFT_INLINE void map2(const ElementCall& c, Function f) {
  for_pieces(c, [&](int64_t run, int64_t from, int64_t to) {
    const Run<T> a{(const T*)c.data[0] + offset(c.nest, run, 0), c.step[0]};
    const Run<T> b{(const T*)c.data[1] + offset(c.nest, run, 1), c.step[1]};
    T* y = (T*)c.data[2] + offset(c.nest, run, 2);
    if (c.step[0] == 1 && c.step[1] == 1 && c.step[2] == 1)
      strip(to - from, [&](int64_t j, auto n) {
        store(y + from + j, f(load(a.p + from + j, n), load(b.p + from + j, n)), n);
      });
    else
      strip(to - from, [&](int64_t j, auto n) {
        put(y, c.step[2], from + j, f(a.at(from + j, n), b.at(from + j, n)), n);
      });
  });
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
#endif
