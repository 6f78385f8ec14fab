#include <algorithm>

#include "problems.hpp"

namespace graft::conform {
namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

}  // namespace

void swiglu_problems(Maker& make) {
  const auto scale = [](const Problem& problem, const std::vector<Values>& right) {
    auto out = relative(problem, right);
    for (std::size_t i = 0; i < out[0].size(); ++i)
      out[0][i] += 0.1 * std::fabs(problem.in[1].values[i]);
    return out;
  };
  for (const Case& c : elementwise_cases()) {
    make.add(c.what, {make.real(c.shape, c.layout, -9, 9), make.real(c.shape, c.layout)},
             {make.result(c.shape, c.result_layout)}, {}, scale);
    make.add(std::string(c.what) + " on gate",
             {make.real(c.shape, c.layout, -9, 9), make.real(c.shape)},
             {make.result(c.shape, c.result_layout)}, {}, scale);
  }
}

void swiglu_bwd_problems(Maker& make) {
  const auto scale = [](const Problem& problem, const std::vector<Values>&) {
    Values dgate = problem.in[0].values, dup = dgate;
    for (std::size_t i = 0; i < dgate.size(); ++i) {
      const double dy = std::fabs(dgate[i]), x = problem.in[1].values[i], s = sigmoid(x);
      dgate[i] = dy * std::fabs(problem.in[2].values[i]) * (s + s * std::fabs(x) * (1 - s) + 0.1);
      dup[i] = dy * (std::fabs(x) * s + 0.1);
    }
    return std::vector<Values>{dgate, dup};
  };
  for (const Case& c : elementwise_cases()) {
    make.add(c.what,
             {make.real(c.shape, c.layout), make.real(c.shape, c.layout, -9, 9),
              make.real(c.shape, c.layout)},
             {make.result(c.shape, c.result_layout), make.result(c.shape, c.result_layout)}, {},
             scale);
    make.add(std::string(c.what) + " on dy",
             {make.real(c.shape, c.layout), make.real(c.shape, {}, -9, 9), make.real(c.shape)},
             {make.result(c.shape, c.result_layout), make.result(c.shape)}, {}, scale);
  }
}

void adam_update_problems(Maker& make) {
  const auto scale = [](const Problem& problem, const std::vector<Values>& right) {
    auto out = relative(problem, right);
    const double step = problem.in[2].values[0], denom = problem.in[3].values[0];
    double beta1 = 0, eps = 0;
    for (const graft_attr& one : problem.attrs) {
      if (std::string_view(one.name) == "beta1") beta1 = one.f;
      if (std::string_view(one.name) == "eps") eps = one.f;
    }
    for (std::size_t i = 0; i < out[0].size(); ++i) {
      const double m = std::fabs(beta1 * problem.out[1].before[i]) +
                       std::fabs((1 - beta1) * problem.in[0].values[i]);
      out[1][i] = m;
      out[0][i] =
          std::fabs(problem.out[0].before[i]) + step * m / (std::sqrt(right[2][i]) * denom + eps);
    }
    return out;
  };
  for (const std::int64_t n : {0, 1, 7, 64, 1003, 250007}) {
    for (const std::int64_t step : {1, 2}) {
      if (step == 2 && n > 2000) continue;
      const Layout layout = {{}, step, 0, 0};
      std::vector<Result> out = {Maker::result_as(GRAFT_F32, {n}, layout),
                                 Maker::result_as(GRAFT_F32, {n}, layout),
                                 Maker::result_as(GRAFT_F32, {n}, layout)};
      out[0].before = make.real_as(GRAFT_F32, {n}).values;
      out[1].before = make.real_as(GRAFT_F32, {n}, {}, -0.1, 0.1).values;
      out[2].before = make.real_as(GRAFT_F32, {n}, {}, 0, 0.01).values;
      make.add(std::to_string(n) + (step > 1 ? " strided" : ""),
               {make.real_as(GRAFT_F32, {n}, layout, -0.3, 0.3),
                make.real_as(GRAFT_F32, {1}, {}, 0.9, 0.99),
                make.real_as(GRAFT_F32, {1}, {}, 0.01, 0.02),
                make.real_as(GRAFT_F32, {1}, {}, 1.5, 2.5)},
               out, {attr_real("beta1", 0.85), attr_real("beta2", 0.95), attr_real("eps", 1e-3)},
               scale);
    }
  }
}

void adam8_update_problems(Maker& make) {
  const auto scale = [](const Problem& problem, const std::vector<Values>& right) {
    auto out = relative(problem, right);
    const double step = problem.in[2].values[0];
    // A step is at most so large a part of its size that the largest of all bounds each.
    double largest = 0;
    for (std::size_t i = 0; i < out[0].size(); ++i)
      largest = std::max(largest, std::fabs(right[0][i] - problem.out[0].before[i]));
    for (double& one : out[0]) one += largest + step;
    for (std::size_t k = 1; k < 5; ++k) std::fill(out[k].begin(), out[k].end(), 0.0);  // to the bit
    return out;
  };
  for (const std::int64_t n : {0, 1, 7, 255, 256, 257, 4096, 250007}) {
    const std::int64_t blocks = (n + 255) / 256;
    std::vector<Result> out = {Maker::result_as(GRAFT_F32, {n}), Maker::result_as(GRAFT_U8, {n}),
                               Maker::result_as(GRAFT_U8, {n}),
                               Maker::result_as(GRAFT_F32, {blocks}),
                               Maker::result_as(GRAFT_F32, {blocks})};
    out[0].before = make.real_as(GRAFT_F32, {n}).values;
    for (std::int64_t i = 0; i < n; ++i) {
      out[1].before.push_back(static_cast<double>(make.integer(0, 255)));
      out[2].before.push_back(static_cast<double>(make.integer(0, 255)));
    }
    out[3].before = make.real_as(GRAFT_F32, {blocks}, {}, 0, 0.1).values;
    out[4].before = make.real_as(GRAFT_F32, {blocks}, {}, 0, 0.01).values;
    if (blocks > 1) out[3].before[1] = out[4].before[1] = 0;
    Operand grad = make.real_as(GRAFT_F32, {n}, {}, -0.3, 0.3);
    if (blocks > 2)  // a block without anything
      std::fill(grad.values.begin() + 256, grad.values.begin() + 512, 0.0);
    make.add(
        std::to_string(n),
        {grad, make.real_as(GRAFT_F32, {1}, {}, 0.9, 0.99),
         make.real_as(GRAFT_F32, {1}, {}, 0.01, 0.02), make.real_as(GRAFT_F32, {1}, {}, 1.5, 2.5)},
        out, {attr_real("beta1", 0.85), attr_real("beta2", 0.95), attr_real("eps", 1e-3)}, scale);
  }
}

void sum_squares_problems(Maker& make) {
  for (const std::int64_t n : {0, 1, 7, 64, 1003, 250007})
    for (const std::int64_t step : {1, 2})
      make.add(std::to_string(n) + (step > 1 ? " strided" : ""),
               {make.real_as(GRAFT_F32, {n}, {{}, step, 0, 0})}, {Maker::result_as(GRAFT_F32, {1})},
               {}, relative);
}

}  // namespace graft::conform
