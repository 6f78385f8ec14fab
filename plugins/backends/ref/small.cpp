// Batches of small square matrices.
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

}  // namespace graft::ref
