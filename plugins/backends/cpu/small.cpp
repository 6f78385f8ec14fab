// Batches of small square matrices, in f64 inside: they are a trace of the work of a step.
#include <cmath>
#include <utility>

#include "plugins/backends/cpu/call.hpp"

namespace graft_cpu {
namespace {

/// The elements of a dense view in f64.
std::vector<double> doubles(const graft_view& view) {
  const bool wide = float_type(view) == Type::kF32;
  std::vector<double> values(static_cast<std::size_t>(gb::elements(view)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = wide ? static_cast<double>(gb::data<const float>(view)[i])
                     : static_cast<double>(gb::to_float(gb::data<const gb::Bf16>(view)[i]));
  }
  return values;
}

void store(const std::vector<double>& values, const graft_view& view) {
  const bool wide = float_type(view) == Type::kF32;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (wide) {
      gb::data<float>(view)[i] = static_cast<float>(values[i]);
    } else {
      gb::data<gb::Bf16>(view)[i] = gb::to_bf16(values[i]);
    }
  }
}

/// b of [n, b (b - 1) / 2] and [n, b, b], which belong together.
std::int64_t side_of(const graft_view& packed, const graft_view& square) {
  const std::int64_t b = square.ndim == 3 ? square.shape[1] : 0;
  require(packed.ndim == 2 && square.ndim == 3 && square.shape[2] == b &&
              packed.shape[1] == b * (b - 1) / 2 && packed.shape[0] == square.shape[0],
          "skew: [n, b (b - 1) / 2] and [n, b, b] are expected");
  return b;
}

/// a = a^-1 by way of e, which begins as 1.
void invert(double* a, double* e, std::int64_t b) {
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
      if (i == k || factor == 0) continue;
      for (std::int64_t j = 0; j < b; ++j) {
        a[i * b + j] -= factor * a[k * b + j];
        e[i * b + j] -= factor * e[k * b + j];
      }
    }
  }
}

}  // namespace

void skew(Call& call) {
  const std::int64_t b = side_of(call.args.in[0], call.args.out[0]);
  const std::vector<double> x = doubles(call.in_dense(0));
  const std::int64_t n = call.args.in[0].shape[0];
  std::vector<double> y(static_cast<std::size_t>(n * b * b), 0.0);
  std::size_t k = 0;
  for (std::int64_t m = 0; m < n; ++m) {
    for (std::int64_t i = 0; i < b; ++i) {
      for (std::int64_t j = i + 1; j < b; ++j, ++k) {
        y[static_cast<std::size_t>((m * b + i) * b + j)] = x[k];
        y[static_cast<std::size_t>((m * b + j) * b + i)] = -x[k];
      }
    }
  }
  store(y, call.out_dense(0));
}

void unskew(Call& call) {
  const std::int64_t b = side_of(call.args.out[0], call.args.in[0]);
  const std::vector<double> y = doubles(call.in_dense(0));
  std::vector<double> x;
  for (std::int64_t m = 0; m < call.args.in[0].shape[0]; ++m) {
    const double* square = y.data() + m * b * b;
    for (std::int64_t i = 0; i < b; ++i) {
      for (std::int64_t j = i + 1; j < b; ++j) x.push_back(square[i * b + j] - square[j * b + i]);
    }
  }
  store(x, call.out_dense(0));
}

void inverse(Call& call) {
  const graft_view& view = call.args.in[0];
  require(view.ndim == 3 && view.shape[1] == view.shape[2], "inverse: [n, b, b] is expected");
  const std::int64_t n = view.shape[0], b = view.shape[1];
  const double shift = call.real("shift");
  std::vector<double> x = doubles(call.in_dense(0)), y(x.size(), 0.0);
  [[maybe_unused]] const int threads = n * b * b * b > 100000 ? call.device.threads : 1;
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static)
#endif
  for (std::int64_t m = 0; m < n; ++m) {
    double *a = x.data() + m * b * b, *e = y.data() + m * b * b;
    for (std::int64_t i = 0; i < b; ++i) {
      e[i * b + i] = 1;
      a[i * b + i] += shift;
    }
    invert(a, e, b);
  }
  store(y, call.out_dense(0));
}

}  // namespace graft_cpu
