#include "problems.hpp"

namespace graft::conform {
namespace {

constexpr double kEps = 3e-3;  // large enough to show in the result

// The rows of an operand with their statistics, in magnitudes: what an error of one rounding in
// each step amounts to.
struct Row {
  double mean, rstd;
};

std::vector<Row> rows_of(const Values& x, std::int64_t d, bool layer) {
  std::vector<Row> rows;
  if (d == 0) return rows;
  for (std::size_t at = 0; at < x.size(); at += static_cast<std::size_t>(d)) {
    double mean = 0, square = 0;
    for (std::int64_t j = 0; j < d; ++j) mean += x[at + j] / static_cast<double>(d);
    if (!layer) mean = 0;
    for (std::int64_t j = 0; j < d; ++j)
      square += (x[at + j] - mean) * (x[at + j] - mean) / static_cast<double>(d);
    rows.push_back({std::fabs(mean), 1 / std::sqrt(square + kEps)});
  }
  return rows;
}

double offset_of(const Problem& problem) {
  for (const graft_attr& one : problem.attrs)
    if (std::string_view(one.name) == "offset") return one.f;
  return 0;
}

bool is_layer(const Problem& problem) {
  for (const graft_attr& one : problem.attrs)
    if (std::string_view(one.name) == "kind") return one.i == GRAFT_NORM_LAYER;
  return false;
}

// |w| (|x| + |mean|) rstd + |b|, the operands being where the arguments say (-1: none).
Values norm_scale(const Problem& problem, const Values& x, int weight, int bias) {
  const auto d = static_cast<std::int64_t>(problem.in[weight].values.size());
  const std::vector<Row> rows = rows_of(x, d, is_layer(problem));
  Values scale(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Row& row = rows[i / static_cast<std::size_t>(d)];
    const std::size_t j = i % static_cast<std::size_t>(d);
    scale[i] = std::fabs(problem.in[weight].values[j] + offset_of(problem)) *
               (std::fabs(x[i]) + row.mean) * row.rstd;
    if (bias >= 0) scale[i] += std::fabs(problem.in[bias].values[j]);
  }
  return scale;
}

std::vector<Values> forward_scale(const Problem& problem, const std::vector<Values>&) {
  return {norm_scale(problem, problem.in[0].values, 1, problem.in.size() > 2 ? 2 : -1)};
}

// rstd (|g| + mean |g| + |xhat| mean |g xhat|)
std::vector<Values> backward_scale(const Problem& problem, const std::vector<Values>&) {
  const Values &dy = problem.in[0].values, &x = problem.in[1].values;
  Values w = problem.in[2].values;
  for (double& one : w) one += offset_of(problem);
  const auto d = static_cast<std::int64_t>(w.size());
  const std::vector<Row> rows = rows_of(x, d, is_layer(problem));
  Values scale(x.size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::size_t at = r * static_cast<std::size_t>(d);
    const auto hat = [&](std::int64_t j) {
      return (std::fabs(x[at + j]) + rows[r].mean) * rows[r].rstd;
    };
    double mean = 0, mean_hat = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      mean += std::fabs(dy[at + j] * w[j]) / static_cast<double>(d);
      mean_hat += std::fabs(dy[at + j] * w[j]) * hat(j) / static_cast<double>(d);
    }
    for (std::int64_t j = 0; j < d; ++j)
      scale[at + j] = rows[r].rstd * (std::fabs(dy[at + j] * w[j]) + mean + hat(j) * mean_hat);
  }
  return {scale};
}

// Sums over the rows of |dy| |xhat| and of |dy|.
std::vector<Values> weight_scale(const Problem& problem, const std::vector<Values>&) {
  const Values &dy = problem.in[0].values, &x = problem.in[1].values;
  const std::int64_t d = problem.in[0].shape.back();
  const std::vector<Row> rows = rows_of(x, d, is_layer(problem));
  std::vector<Values> scale;
  for (std::size_t out = 0; out < problem.out.size(); ++out) {
    const Values& before = problem.out[out].before;
    Values sums(static_cast<std::size_t>(d));
    for (std::size_t j = 0; j < before.size(); ++j) sums[j] = std::fabs(before[j]);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Row& row = rows[i / static_cast<std::size_t>(d)];
      const double hat = (std::fabs(x[i]) + row.mean) * row.rstd;
      sums[i % static_cast<std::size_t>(d)] += std::fabs(dy[i]) * (out == 0 ? hat : 1);
    }
    scale.push_back(std::move(sums));
  }
  return scale;
}

std::vector<Values> add_norm_scale(const Problem& problem, const std::vector<Values>&) {
  Values sum = problem.in[0].values, magnitude = sum;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    magnitude[i] = std::fabs(sum[i]) + std::fabs(problem.in[1].values[i]);
    sum[i] += problem.in[1].values[i];
  }
  // The norm of the true sum, with the rounding errors of both terms in each element.
  const auto d = static_cast<std::int64_t>(problem.in[2].values.size());
  const std::vector<Row> rows = rows_of(sum, d, is_layer(problem));
  Values scale(sum.size());
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const Row& row = rows[i / static_cast<std::size_t>(d)];
    scale[i] =
        std::fabs(problem.in[2].values[i % static_cast<std::size_t>(d)] + offset_of(problem)) *
        (2 * magnitude[i] + row.mean) * row.rstd;
  }
  return {magnitude, scale};
}

struct Kind {
  std::int64_t kind;
  const char* name;
  double offset;
};
constexpr Kind kKinds[] = {{GRAFT_NORM_RMS, "rms, ", 0},
                           {GRAFT_NORM_LAYER, "layer, ", 0},
                           {GRAFT_NORM_RMS, "rms, weights from 1, ", 1}};

std::vector<Case> norm_cases() {
  std::vector<Case> cases = elementwise_cases();
  cases.push_back({"hidden size of a small model", {19, 576}, {}, {}});
  cases.push_back({"heads of 64", {5, 9, 64}, {}, {}});
  cases.push_back({"heads of 64 out of a wider row", {5, 9, 64}, {{}, 1, 64, 0}, {}});
  return cases;
}

std::vector<graft_attr> attrs_of(const Kind& kind) {
  return {attr("kind", kind.kind), attr_real("eps", kEps), attr_real("offset", kind.offset)};
}

// bf16 results of RMS: the line says where to round, so most bits are known. Rows are few in small
// problems, where one statistic that falls on the other side of a rounding moves many elements.
double equal_share(const Maker& make, const Kind& kind, const Shape& shape) {
  return make.type() == GRAFT_BF16 && kind.kind == GRAFT_NORM_RMS && count_of(shape) > 5000 ? 0.97
                                                                                            : 0;
}

}  // namespace

void norm_problems(Maker& make) {
  for (const Kind& kind : kKinds) {
    for (const Case& c : norm_cases()) {
      const Shape d = {c.shape.back()};
      std::vector<Operand> in = {make.real(c.shape, c.layout, -1, 1.5), make.real(d)};
      Problem& plain =
          make.add(std::string(kind.name) + c.what, in, {make.result(c.shape, c.result_layout)},
                   attrs_of(kind), forward_scale);
      plain.equal_share = equal_share(make, kind, c.shape);
      if (c.shape.size() == 2 && c.shape[0] > 2)
        plain.fewer_rows = {{false, 0, 0, c.shape[0] / 3}, {true, 0, 0, c.shape[0] / 3}};
      in[1] = make.real(d, {{}, 2, 0, 0});
      in.push_back(make.real(d, {{}, 3, 0, 0}));
      make.add(std::string(kind.name) + c.what + ", bias, strided weight", in,
               {make.result(c.shape, c.result_layout)}, attrs_of(kind), forward_scale);
    }
  }
}

void norm_bwd_problems(Maker& make) {
  for (const Kind& kind : kKinds) {
    for (const Case& c : norm_cases()) {
      const Shape d = {c.shape.back()};
      make.add(std::string(kind.name) + c.what,
               {make.real(c.shape, c.layout), make.real(c.shape, c.layout, -1, 1.5), make.real(d)},
               {make.result(c.shape, c.result_layout)}, attrs_of(kind), backward_scale);
      make.add(std::string(kind.name) + c.what + " on dy, strided weight",
               {make.real(c.shape, c.layout), make.real(c.shape, {}, -1, 1.5),
                make.real(d, {{}, 2, 0, 0})},
               {make.result(c.shape, c.result_layout)}, attrs_of(kind), backward_scale);
    }
  }
}

void norm_bwd_weight_problems(Maker& make) {
  std::vector<Case> cases = norm_cases();
  cases.push_back({"many rows", {1501, 37}, {}, {}});
  for (const Kind& kind : kKinds) {
    for (const Case& c : cases) {
      const Shape d = {c.shape.back()};
      // The product with dy may take xhat as it is, or rounded to T as the forward pass did.
      const bool rounds = make.type() == GRAFT_BF16 && kind.kind == GRAFT_NORM_RMS;
      const double tolerance = rounds ? one_rounding(GRAFT_BF16) : 0;
      const std::vector<Operand> in = {make.real(c.shape, c.layout),
                                       make.real(c.shape, c.layout, -1, 1.5)};
      make.add(std::string(kind.name) + c.what, in, {Maker::result_as(make.statistics(), d)},
               attrs_of(kind), weight_scale)
          .tolerance = tolerance;
      make.add_accumulating();
      make.add(std::string(kind.name) + c.what + ", dbias", in,
               {Maker::result_as(make.statistics(), d, {{}, 2, 0, 0}),
                Maker::result_as(make.statistics(), d)},
               attrs_of(kind), weight_scale)
          .tolerance = tolerance;
      make.add_accumulating();
    }
  }
}

void add_norm_problems(Maker& make) {
  for (const Kind& kind : kKinds) {
    for (const Case& c : norm_cases()) {
      make.add(std::string(kind.name) + c.what,
               {make.real(c.shape, c.layout, -1, 1.5), make.real(c.shape, c.layout, -1, 1.5),
                make.real({c.shape.back()})},
               {make.result(c.shape, c.result_layout), make.result(c.shape, c.result_layout)},
               attrs_of(kind), add_norm_scale)
          .equal_share = equal_share(make, kind, c.shape);
    }
  }
}

}  // namespace graft::conform
