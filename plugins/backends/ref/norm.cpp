#include <cmath>

#include "kernels.hpp"

namespace graft::ref {
namespace {

// xhat = (x - mean) rstd, with mean = 0 for RMS.
struct Statistics {
  double mean, rstd;
};

Statistics statistics_of(const double* x, std::int64_t d, std::int64_t kind, double eps) {
  require(kind == GRAFT_NORM_RMS || kind == GRAFT_NORM_LAYER,
          "norm: kind is not one of GRAFT_NORM_*");
  double mean = 0, square = 0;
  if (kind == GRAFT_NORM_LAYER) {
    for (std::int64_t j = 0; j < d; ++j) mean += x[j];
    mean /= static_cast<double>(d);
  }
  for (std::int64_t j = 0; j < d; ++j) square += (x[j] - mean) * (x[j] - mean);
  return {mean, 1 / std::sqrt(square / static_cast<double>(d) + eps)};
}

}  // namespace

Values norm_weight(const graft_kernel_args& args, std::uint32_t input) {
  Values weight = load(args.in[input]);
  for (double& w : weight) w += attr_f(&args, "offset");
  return weight;
}

void norm_row(const double* x, const double* weight, const double* bias, double* y, std::int64_t d,
              std::int64_t kind, double eps, std::uint32_t dtype) {
  const Statistics s = statistics_of(x, d, kind, eps);
  for (std::int64_t j = 0; j < d; ++j) {
    double hat = (x[j] - s.mean) * s.rstd;
    if (kind == GRAFT_NORM_RMS) hat = round_to(dtype, hat);
    y[j] = hat * weight[j] + (bias ? bias[j] : 0);
  }
}

void norm(const graft_kernel_args& args) {
  require(same_shape(args.in[0], args.out[0]), "norm: x and y have different shapes");
  Values x = load(args.in[0]);
  const Values weight = norm_weight(args, 1);
  const Values bias = args.n_in > 2 ? load(args.in[2]) : Values();
  const std::int64_t d = last_extent(args.in[0]);
  require(static_cast<std::int64_t>(weight.size()) == d, "norm: weight is not [d]");
  const std::int64_t kind = attr_i(&args, "kind");
  const double eps = attr_f(&args, "eps");
  for (double* row = x.data(); row != x.data() + x.size(); row += d)
    norm_row(row, weight.data(), bias.empty() ? nullptr : bias.data(), row, d, kind, eps,
             args.in[0].dtype);
  store(x, args.out[0]);
}

// With g = dy w:  dx = rstd (g - mean(g) - xhat mean(g xhat)), the first mean only for LAYER.
void norm_bwd(const graft_kernel_args& args) {
  require(same_shape(args.in[0], args.in[1]) && same_shape(args.in[0], args.out[0]),
          "norm_bwd: dy, x and dx have different shapes");
  Values dy = load(args.in[0]);
  const Values x = load(args.in[1]), weight = norm_weight(args, 2);
  const std::int64_t d = last_extent(args.in[0]);
  require(static_cast<std::int64_t>(weight.size()) == d, "norm_bwd: weight is not [d]");
  const std::int64_t kind = attr_i(&args, "kind");
  const double eps = attr_f(&args, "eps"), n = static_cast<double>(d);
  for (std::size_t row = 0; row < dy.size(); row += static_cast<std::size_t>(d)) {
    const double* xr = x.data() + row;
    double* g = dy.data() + row;
    const Statistics s = statistics_of(xr, d, kind, eps);
    double mean_g = 0, mean_g_hat = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      g[j] *= weight[j];
      mean_g += g[j] / n;
      mean_g_hat += g[j] * (xr[j] - s.mean) * s.rstd / n;
    }
    if (kind == GRAFT_NORM_RMS) mean_g = 0;
    for (std::int64_t j = 0; j < d; ++j)
      g[j] = s.rstd * (g[j] - mean_g - (xr[j] - s.mean) * s.rstd * mean_g_hat);
  }
  store(dy, args.out[0]);
}

void norm_bwd_weight(const graft_kernel_args& args) {
  require(same_shape(args.in[0], args.in[1]), "norm_bwd_weight: dy and x have different shapes");
  const Values dy = load(args.in[0]), x = load(args.in[1]);
  const std::int64_t d = last_extent(args.in[0]);
  require(elements(args.out[0]) == d, "norm_bwd_weight: dweight is not [d]");
  const std::int64_t kind = attr_i(&args, "kind");
  const double eps = attr_f(&args, "eps");
  const auto width = static_cast<std::size_t>(d);
  Values dweight(width), dbias(width);
  for (std::size_t row = 0; row < dy.size(); row += width) {
    const Statistics s = statistics_of(x.data() + row, d, kind, eps);
    for (std::size_t j = 0; j < width; ++j) {
      double hat = (x[row + j] - s.mean) * s.rstd;
      if (kind == GRAFT_NORM_RMS) hat = round_to(args.in[1].dtype, hat);  // what w was given
      dweight[j] += dy[row + j] * hat;
      dbias[j] += dy[row + j];
    }
  }
  const bool accumulate = attr_i(&args, "accumulate");
  store(dweight, args.out[0], accumulate);
  if (args.n_out > 1) store(dbias, args.out[1], accumulate);
}

}  // namespace graft::ref
