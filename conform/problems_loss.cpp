#include <algorithm>

#include "problems.hpp"

namespace graft::conform {
namespace {

struct Loss {
  const char* what;
  std::int64_t rows, v;
  double range;
  Layout layout, result_layout;
};

std::vector<Loss> cases() {
  return {
      {"no rows", 0, 9, 2, {}, {}},
      {"one of one", 1, 1, 2, {}, {}},
      {"odd", 7, 13, 2, {}, {}},
      {"far apart", 7, 131, 70, {}, {}},
      {"permuted", 9, 21, 2, reversed(2), {}},
      {"permuted result", 9, 21, 2, {}, reversed(2)},
      {"padded", 9, 21, 2, {{}, 1, 4, 0}, {{}, 1, 3, 0}},
      {"strided", 9, 21, 2, {{}, 2, 0, 0}, {{}, 3, 0, 0}},
      {"one row for all", 9, 21, 2, {{}, 1, 0, 1}, {}},
      {"large vocabulary", 5, 12347, 8, {}, {}},
      {"many rows", 515, 301, 5, {}, {}},
  };
}

// About a third of the rows are masked.
std::vector<std::int32_t> labels_for(Maker& make, const Loss& c) {
  std::vector<std::int32_t> labels;
  for (std::int64_t r = 0; r < c.rows; ++r)
    labels.push_back(r % 3 == 1 ? (r % 2 ? -100 : -1)
                                : static_cast<std::int32_t>(make.integer(0, c.v - 1)));
  return labels;
}

std::vector<Values> forward_scale(const Problem& problem, const std::vector<Values>& right) {
  const std::int64_t v = problem.in[0].shape[1];
  std::vector<Values> scale = {right[0], right[1]};
  for (std::size_t r = 0; r < right[0].size(); ++r) {
    const double label = problem.in[1].values[r];
    scale[1][r] = 1 + std::fabs(right[1][r]);
    scale[0][r] = 0;  // masked: 0 and nothing else
    if (label >= 0)
      scale[0][r] = scale[1][r] + std::fabs(problem.in[0].values[r * static_cast<std::size_t>(v) +
                                                                 static_cast<std::size_t>(label)]);
  }
  return scale;
}

// |dloss| (p (1 + |logit| + |lse|) + onehot)
std::vector<Values> backward_scale(const Problem& problem, const std::vector<Values>& right) {
  const auto v = static_cast<std::size_t>(problem.in[0].shape[1]);
  Values scale = right[0];
  for (std::size_t i = 0; i < scale.size(); ++i) {
    const std::size_t r = i / v;
    const double x = problem.in[0].values[i], lse = problem.in[2].values[r],
                 label = problem.in[1].values[r];
    const double hot = label >= 0 && static_cast<std::size_t>(label) == i % v ? 1 : 0;
    scale[i] = label < 0 ? 0
                         : std::fabs(problem.in[3].values[r]) *
                               (std::exp(x - lse) * (1 + std::fabs(x) + std::fabs(lse)) + hot);
  }
  return {scale};
}

}  // namespace

void cross_entropy_problems(Maker& make) {
  for (const Loss& c : cases()) {
    const Layout rows = c.result_layout.step > 1 ? Layout{{}, 2, 0, 0} : Layout{};
    Problem& problem = make.add(c.what,
                                {make.real({c.rows, c.v}, c.layout, -c.range, c.range),
                                 Maker::integers(labels_for(make, c), rows)},
                                {Maker::result_as(make.statistics(), {c.rows}, rows),
                                 Maker::result_as(make.statistics(), {c.rows}, rows)},
                                {}, forward_scale);
    if (c.rows > 2)
      problem.fewer_rows = {{false, 0, 0, c.rows / 3},
                            {false, 1, 0, c.rows / 3},
                            {true, 0, 0, c.rows / 3},
                            {true, 1, 0, c.rows / 3}};
  }
}

void cross_entropy_bwd_problems(Maker& make) {
  for (const Loss& c : cases()) {
    const auto d = static_cast<std::size_t>(c.v);
    std::vector<Operand> in = {make.real({c.rows, c.v}, c.layout, -c.range, c.range),
                               Maker::integers(labels_for(make, c)),
                               make.real_as(make.statistics(), {c.rows}),
                               make.real_as(make.statistics(), {c.rows}, {}, -1, 1)};
    for (std::size_t r = 0; r < in[2].values.size(); ++r) {
      double sum = 0;
      for (std::size_t j = 0; j < d; ++j) sum += std::exp(in[0].values[r * d + j]);
      in[2].values[r] = std::log(sum);
    }
    in[2].values = rounded(in[2].values, make.statistics());
    make.add(c.what, in, {make.result({c.rows, c.v}, c.result_layout)}, {}, backward_scale);
    if (c.layout.broadcast) continue;
    make.add(std::string(c.what) + ", in place", in, {Maker::in_place(in, 0)}, {}, backward_scale);
  }
}

}  // namespace graft::conform
