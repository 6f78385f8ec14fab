// Batches of small matrices.
#include <cmath>
#include <limits>
#include <utility>

#include "kernels.hpp"

namespace graft::ref {
namespace {

/// b of [n, b (b - 1) / 2] and [n, b, b], which belong together.
std::int64_t side_of(const graft_view& packed, const graft_view& square) {
  require(packed.ndim == 2 && square.ndim == 3, "skew: [n, b (b - 1) / 2] and [n, b, b]");
  const std::int64_t b = square.shape[1];
  require(square.shape[2] == b && packed.shape[1] == b * (b - 1) / 2 &&
              packed.shape[0] == square.shape[0],
          "skew: [n, b (b - 1) / 2] and [n, b, b]");
  return b;
}

}  // namespace

void skew(const graft_kernel_args& args) {
  const std::int64_t b = side_of(args.in[0], args.out[0]);
  const Values x = load(args.in[0]);
  Values y(static_cast<std::size_t>(args.in[0].shape[0] * b * b), 0.0);
  std::size_t k = 0;
  for (std::int64_t m = 0; m < args.in[0].shape[0]; ++m) {
    for (std::int64_t i = 0; i < b; ++i) {
      for (std::int64_t j = i + 1; j < b; ++j, ++k) {
        y[(m * b + i) * b + j] = x[k];
        y[(m * b + j) * b + i] = -x[k];
      }
    }
  }
  store(y, args.out[0]);
}

void unskew(const graft_kernel_args& args) {
  const std::int64_t b = side_of(args.out[0], args.in[0]);
  const Values y = load(args.in[0]);
  Values x;
  for (std::int64_t m = 0; m < args.in[0].shape[0]; ++m) {
    for (std::int64_t i = 0; i < b; ++i) {
      for (std::int64_t j = i + 1; j < b; ++j) {
        x.push_back(y[(m * b + i) * b + j] - y[(m * b + j) * b + i]);
      }
    }
  }
  store(x, args.out[0]);
}

// Gauss and Jordan with row pivoting, on [x + shift 1 | 1].
void inverse(const graft_kernel_args& args) {
  const graft_view& view = args.in[0];
  require(view.ndim == 3 && view.shape[1] == view.shape[2] && same_shape(view, args.out[0]),
          "inverse: x and y are [n, b, b]");
  const std::int64_t b = view.shape[1];
  const double shift = attr_f(&args, "shift");
  Values x = load(view), y(x.size(), 0.0);
  for (std::int64_t m = 0; m < view.shape[0]; ++m) {
    double *a = x.data() + m * b * b, *e = y.data() + m * b * b;
    for (std::int64_t i = 0; i < b; ++i) {
      e[i * b + i] = 1;
      a[i * b + i] += shift;
    }
    for (std::int64_t k = 0; k < b; ++k) {
      std::int64_t best = k;
      for (std::int64_t i = k + 1; i < b; ++i) {
        if (std::fabs(a[i * b + k]) > std::fabs(a[best * b + k])) best = i;
      }
      const double pivot = a[best * b + k];
      for (std::int64_t j = 0; j < b; ++j) {
        std::swap(a[k * b + j], a[best * b + j]);
        std::swap(e[k * b + j], e[best * b + j]);
        a[k * b + j] /= pivot;
        e[k * b + j] /= pivot;
      }
      for (std::int64_t i = 0; i < b; ++i) {
        const double factor = a[i * b + k];
        if (i == k) continue;
        for (std::int64_t j = 0; j < b; ++j) {
          a[i * b + j] -= factor * a[k * b + j];
          e[i * b + j] -= factor * e[k * b + j];
        }
      }
    }
  }
  store(y, args.out[0]);
}

namespace {

/// v less its parts along the first k rows of y, twice: once leaves what rounding has made of them.
void remove_parts(std::vector<double>& v, const double* y, std::int64_t k) {
  const auto a = static_cast<std::int64_t>(v.size());
  for (int pass = 0; pass < 2; ++pass) {
    for (std::int64_t j = 0; j < k; ++j) {
      const double* q = y + j * a;
      double dot = 0;
      for (std::int64_t i = 0; i < a; ++i) dot += q[i] * v[static_cast<std::size_t>(i)];
      for (std::int64_t i = 0; i < a; ++i) v[static_cast<std::size_t>(i)] -= dot * q[i];
    }
  }
}

double squares(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return sum;
}

/// What stands for a column that depends on the k before it, not yet of length 1.
std::vector<double> substitute(const double* y, std::int64_t k, std::int64_t a) {
  std::vector<double> best;
  double most = -1;
  for (std::int64_t i = 0; i < a && most < 0.5; ++i) {
    std::vector<double> unit(static_cast<std::size_t>(a), 0.0);
    unit[static_cast<std::size_t>(i)] = 1;
    remove_parts(unit, y, k);
    const double rest = squares(unit);
    if (rest <= most) continue;
    most = rest;
    best = std::move(unit);
  }
  return best;
}

/// Columns of x [a, b] made orthonormal, as rows of y.
void gram_schmidt(const double* x, double* y, std::int64_t a, std::int64_t b) {
  for (std::int64_t k = 0; k < b; ++k) {
    std::vector<double> v;
    for (std::int64_t i = 0; i < a; ++i) v.push_back(x[i * b + k]);
    const double before = squares(v);
    remove_parts(v, y, k);
    if (!(squares(v) > 1e-12 * before)) v = substitute(y, k, a);
    const double length = std::sqrt(squares(v));
    for (std::int64_t i = 0; i < a; ++i) y[k * a + i] = v[static_cast<std::size_t>(i)] / length;
  }
}

}  // namespace

void orthonormal(const graft_kernel_args& args) {
  const graft_view& view = args.in[0];
  require(view.ndim == 3 && view.shape[2] <= view.shape[1] && same_shape(view, args.out[0]),
          "orthonormal: x and y are [n, a, b] with b <= a");
  const std::int64_t a = view.shape[1], b = view.shape[2];
  const Values x = load(view);
  Values y(x.size(), 0.0);
  std::vector<double> rows(static_cast<std::size_t>(a * b));
  for (std::int64_t m = 0; m < view.shape[0]; ++m) {
    gram_schmidt(x.data() + m * a * b, rows.data(), a, b);
    for (std::int64_t i = 0; i < a * b; ++i) {
      y[static_cast<std::size_t>(m * a * b + i)] =
          rows[static_cast<std::size_t>(i % b * a + i / b)];
    }
  }
  store(y, args.out[0]);
}

}  // namespace graft::ref
