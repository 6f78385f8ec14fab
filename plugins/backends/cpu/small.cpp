// Batches of small matrices, in f64 inside: they are a trace of the work of a step.
#include <cmath>
#include <numeric>
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

/// e = a^-1, where e begins as 0: the factors L and U of the rows of a that `order` names, in their
/// place, then for each column of the unit matrix the two triangular systems. ref eliminates on both
/// sides instead, so neither is the other's copy.
void invert(double* a, double* e, std::int64_t b) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(b));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const auto row = [&](std::int64_t i) { return a + order[static_cast<std::size_t>(i)] * b; };
  for (std::int64_t k = 0; k < b; ++k) {
    std::int64_t best = k;
    for (std::int64_t i = k + 1; i < b; ++i) {
      if (std::fabs(row(i)[k]) > std::fabs(row(best)[k])) best = i;
    }
    std::swap(order[static_cast<std::size_t>(k)], order[static_cast<std::size_t>(best)]);
    for (std::int64_t i = k + 1; i < b; ++i) {
      const double factor = row(i)[k] /= row(k)[k];
      for (std::int64_t j = k + 1; j < b; ++j) row(i)[j] -= factor * row(k)[j];
    }
  }
  for (std::int64_t i = 0; i < b; ++i) e[i * b + order[static_cast<std::size_t>(i)]] = 1;
  for (std::int64_t i = 1; i < b; ++i) {
    for (std::int64_t k = 0; k < i; ++k) {
      for (std::int64_t c = 0; c < b; ++c) e[i * b + c] -= row(i)[k] * e[k * b + c];
    }
  }
  for (std::int64_t i = b - 1; i >= 0; --i) {
    for (std::int64_t k = i + 1; k < b; ++k) {
      for (std::int64_t c = 0; c < b; ++c) e[i * b + c] -= row(i)[k] * e[k * b + c];
    }
    for (std::int64_t c = 0; c < b; ++c) e[i * b + c] /= row(i)[i];
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
    for (std::int64_t i = 0; i < b; ++i) a[i * b + i] += shift;
    invert(a, e, b);
  }
  store(y, call.out_dense(0));
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

void orthonormal(Call& call) {
  const graft_view& view = call.args.in[0];
  require(view.ndim == 3 && view.shape[2] <= view.shape[1],
          "orthonormal: [n, a, b] with b <= a is expected");
  const std::int64_t n = view.shape[0], a = view.shape[1], b = view.shape[2];
  const std::vector<double> x = doubles(call.in_dense(0));
  std::vector<double> y(x.size(), 0.0), rows(static_cast<std::size_t>(a * b));
  for (std::int64_t m = 0; m < n; ++m) {
    gram_schmidt(x.data() + m * a * b, rows.data(), a, b);
    for (std::int64_t i = 0; i < a * b; ++i) {
      y[static_cast<std::size_t>(m * a * b + i)] =
          rows[static_cast<std::size_t>(i % b * a + i / b)];
    }
  }
  store(y, call.out_dense(0));
}

}  // namespace graft_cpu
