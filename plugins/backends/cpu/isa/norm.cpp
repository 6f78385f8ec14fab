// RMS and layer norms over rows.
#include "plugins/backends/cpu/isa/families.hpp"
#include "plugins/backends/cpu/isa/vec.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

struct Stats {
  float mean, inverse;  // x^ = (x - mean) inverse; RMS: mean = 0
};

template <class T>
Stats stats_of(const NormCall& c, const T* x) {
  const int64_t n = c.rows.cols;
  Stats s{0, 0};
  if (c.layer) {
    F total = {};
    strip(n, [&](int64_t j, auto count) { total += load(x + j, count); });
    s.mean = sum(total) / (float)n;
  }
  F squares = {};
  strip(n, [&](int64_t j, auto count) {
    const F d = keep(load(x + j, count) - s.mean, count, 0);
    squares += d * d;
  });
  s.inverse = 1 / __builtin_sqrtf(sum(squares) / (float)n + c.eps);
  return s;
}

template <class T>
void norm_row(const NormCall& c, const T* x, T* y) {
  const T *w = (const T*)c.weight, *b = (const T*)c.bias;
  const Stats s = stats_of(c, x);
  if (c.layer) {
    strip(c.rows.cols, [&](int64_t j, auto n) {
      const F v = (load(x + j, n) - s.mean) * s.inverse * (load(w + j, n) + c.offset);
      store(y + j, b ? v + load(b + j, n) : v, n);
    });
  } else {
    strip(c.rows.cols, [&](int64_t j, auto n) {
      const F v = (load(w + j, n) + c.offset) * rounded<T>(load(x + j, n) * s.inverse);
      store(y + j, b ? v + load(b + j, n) : v, n);
    });
  }
}

}  // namespace

void norm(const NormCall* c) {
  const RowCall& rows = c->rows;
  with_type(rows.type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(rows.threads) schedule(static) if (rows.nest.count * rows.cols > kParallel))
    for (int64_t r = 0; r < rows.nest.count; ++r)
      norm_row(*c, row<T>(rows, r, 0), row<T>(rows, r, 1));
  });
}

void add_norm(const NormCall* c) {
  const RowCall& rows = c->rows;
  with_type(rows.type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(rows.threads) schedule(static) if (rows.nest.count * rows.cols > kParallel))
    for (int64_t r = 0; r < rows.nest.count; ++r) {
      const T *x = row<T>(rows, r, 0), *residual = row<T>(rows, r, 1);
      T* s = row<T>(rows, r, 2);
      strip(rows.cols,
            [&](int64_t j, auto n) { store(s + j, load(x + j, n) + load(residual + j, n), n); });
      norm_row(*c, s, row<T>(rows, r, 3));
    }
  });
}

/// With g = dy w: dx = inverse (g - x^ mean(g x^)), for layer norms also less mean(g).
void norm_bwd(const NormCall* c) {
  const RowCall& rows = c->rows;
  with_type(rows.type, [&](auto t) {
    typedef typename decltype(t)::type T;
    const T* w = (const T*)c->weight;
    GRAFT_OMP(parallel for num_threads(rows.threads) schedule(static) if (rows.nest.count * rows.cols > kParallel))
    for (int64_t r = 0; r < rows.nest.count; ++r) {
      const T *dy = row<T>(rows, r, 0), *x = row<T>(rows, r, 1);
      T* dx = row<T>(rows, r, 2);
      const Stats s = stats_of(*c, x);
      F total = {}, dot = {};
      strip(rows.cols, [&](int64_t j, auto n) {
        const F g = load(dy + j, n) * (load(w + j, n) + c->offset);
        total += g;
        dot += g * ((load(x + j, n) - s.mean) * s.inverse);
      });
      const float mean_g = c->layer ? sum(total) / (float)rows.cols : 0;
      const float mean_dot = sum(dot) / (float)rows.cols;
      strip(rows.cols, [&](int64_t j, auto n) {
        const F g = load(dy + j, n) * (load(w + j, n) + c->offset);
        const F normed = (load(x + j, n) - s.mean) * s.inverse;
        store(dx + j, s.inverse * (g - mean_g - normed * mean_dot), n);
      });
    }
  });
}

/// Each of `threads` parts of the rows adds up in its own part of `partial`.
void norm_bwd_weight(const NormCall* c, float* dweight, float* dbias, float* partial,
                     int32_t accumulate) {
  const RowCall& rows = c->rows;
  const int64_t cols = rows.cols, parts = rows.threads;
  memset(partial, 0, sizeof(float) * (size_t)(parts * 2 * cols));
  with_type(rows.type, [&](auto t) {
    typedef typename decltype(t)::type T;
    GRAFT_OMP(parallel for num_threads(rows.threads) schedule(static))
    for (int64_t part = 0; part < parts; ++part) {
      float *dw = partial + part * 2 * cols, *db = dw + cols;
      const int64_t end = rows.nest.count * (part + 1) / parts;
      for (int64_t r = rows.nest.count * part / parts; r < end; ++r) {
        const T *dy = row<T>(rows, r, 0), *x = row<T>(rows, r, 1);
        const Stats s = stats_of(*c, x);
        strip(cols, [&](int64_t j, auto n) {
          const F g = load(dy + j, n);
          const F normed = (load(x + j, n) - s.mean) * s.inverse;
          store(dw + j, load(dw + j, n) + g * normed, n);
          store(db + j, load(db + j, n) + g, n);
        });
      }
    }
  });
  for (int64_t j = 0; j < cols; ++j) {
    float dw = 0, db = 0;
    for (int64_t part = 0; part < parts; ++part) {
      dw += partial[part * 2 * cols + j];
      db += partial[part * 2 * cols + cols + j];
    }
    dweight[j] = accumulate ? dweight[j] + dw : dw;
    if (dbias) dbias[j] = accumulate ? dbias[j] + db : db;
  }
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
