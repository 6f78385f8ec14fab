// Softmax over rows, and cross entropy.
#include "plugins/backends/cpu/isa/families.hpp"
#include "plugins/backends/cpu/isa/vec.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

template <class T>
float row_maximum(const T* x, int64_t n) {
  F m = splat(-__builtin_inff());
  strip(n, [&](int64_t j, auto count) {
    m = vmax(m, keep(load(x + j, count), count, -__builtin_inff()));
  });
  return maximum(m);
}

/// sum of e^(x - m)
template <class T>
float row_exp_sum(const T* x, int64_t n, float m) {
  F total = {};
  strip(n, [&](int64_t j, auto count) { total += keep(vexp(load(x + j, count) - m), count, 0); });
  return sum(total);
}

}  // namespace

void softmax(const RowCall* c) {
  with_type(c->type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(c->threads) schedule(static) if (c->nest.count * c->cols > kParallel))
    for (int64_t r = 0; r < c->nest.count; ++r) {
      const T* x = row<T>(*c, r, 0);
      T* y = row<T>(*c, r, 1);
      const float m = row_maximum(x, c->cols);
      const float scale = 1 / row_exp_sum(x, c->cols, m);
      strip(c->cols, [&](int64_t j, auto n) { store(y + j, vexp(load(x + j, n) - m) * scale, n); });
    }
  });
}

void softmax_bwd(const RowCall* c) {
  with_type(c->type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(c->threads) schedule(static) if (c->nest.count * c->cols > kParallel))
    for (int64_t r = 0; r < c->nest.count; ++r) {
      const T *dy = row<T>(*c, r, 0), *y = row<T>(*c, r, 1);
      T* dx = row<T>(*c, r, 2);
      F total = {};
      strip(c->cols, [&](int64_t j, auto n) { total += load(dy + j, n) * load(y + j, n); });
      const float dot = sum(total);
      strip(c->cols,
            [&](int64_t j, auto n) { store(dx + j, load(y + j, n) * (load(dy + j, n) - dot), n); });
    }
  });
}

void cross_entropy(const CrossEntropyCall* c) {
  const RowCall& rows = c->rows;
  with_type(rows.type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(rows.threads) schedule(static) if (rows.nest.count * rows.cols > kParallel))
    for (int64_t r = 0; r < rows.nest.count; ++r) {
      const T* x = row<T>(rows, r, 0);
      const float m = row_maximum(x, rows.cols);
      c->lse[r] = m + ::logf(row_exp_sum(x, rows.cols, m));
      c->loss[r] = c->labels[r] < 0 ? 0 : c->lse[r] - scalar(x + c->labels[r]);
    }
  });
}

void cross_entropy_bwd(const CrossEntropyCall* c) {
  const RowCall& rows = c->rows;
  with_type(rows.type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(rows.threads) schedule(static) if (rows.nest.count * rows.cols > kParallel))
    for (int64_t r = 0; r < rows.nest.count; ++r) {
      const T* x = row<T>(rows, r, 0);
      T* dx = row<T>(rows, r, 1);
      const int32_t label = c->labels[r];
      if (label < 0) {
        strip(rows.cols, [&](int64_t j, auto n) { store(dx + j, F{}, n); });
        continue;
      }
      const float lse = c->lse[r], scale = c->dloss[r];
      const float at_label = scale * (vexp(splat(scalar(x + label) - lse))[0] - 1);
      strip(rows.cols,
            [&](int64_t j, auto n) { store(dx + j, scale * vexp(load(x + j, n) - lse), n); });
      put(dx + label, at_label);
    }
  });
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
