#include <algorithm>

#include "problems.hpp"

namespace graft::conform {
namespace {

void sum(Maker& make, const std::string& what, const Shape& from, const Shape& to,
         const Layout& layout = {}, const Layout& result_layout = {}) {
  for (const std::uint32_t dtype : make.result_types()) {
    make.add(
        what + text_of(from) + " to " + text_of(to) + (dtype != make.type() ? ", into f32" : ""),
        {make.real(from, layout)}, {Maker::result_as(dtype, to, result_layout)}, {},
        magnitudes("reduce_sum/1"));
    make.add_accumulating();
  }
}

// y is exp of something with |x| in it: an error of x |x| times its rounding is one of y.
std::vector<Values> softmax_scale(const Problem& problem, const std::vector<Values>& right) {
  auto scale = relative(problem, right);
  const std::int64_t d = problem.in[0].shape.back();
  const Values& x = problem.in[0].values;
  for (std::size_t row = 0; row < x.size(); row += static_cast<std::size_t>(d)) {
    double max = 1;
    for (std::int64_t j = 0; j < d; ++j) max = std::max(max, std::fabs(x[row + j]) / 4);
    for (std::int64_t j = 0; j < d; ++j) scale[0][row + j] *= max;
  }
  return scale;
}

std::vector<Values> softmax_bwd_scale(const Problem& problem, const std::vector<Values>&) {
  Values scale = problem.in[0].values;
  const Values& y = problem.in[1].values;
  const std::int64_t d = problem.in[0].shape.back();
  for (std::size_t row = 0; row < y.size(); row += static_cast<std::size_t>(d)) {
    double dot = 0;
    for (std::int64_t j = 0; j < d; ++j) dot += std::fabs(scale[row + j] * y[row + j]);
    for (std::int64_t j = 0; j < d; ++j)
      scale[row + j] = y[row + j] * (std::fabs(scale[row + j]) + dot);
  }
  return {scale};
}

}  // namespace

void reduce_sum_problems(Maker& make) {
  sum(make, "", {1}, {1});
  sum(make, "", {7}, {1});
  sum(make, "", {5, 7}, {1, 7});
  sum(make, "", {5, 7}, {5, 1});
  sum(make, "", {5, 7}, {1, 1});
  sum(make, "nothing summed, ", {5, 7}, {5, 7});
  sum(make, "", {0, 4}, {1, 4});
  sum(make, "", {0, 4}, {0, 1});
  sum(make, "", {4, 0}, {4, 1});
  sum(make, "", {3, 4, 5}, {1, 4, 1});
  sum(make, "", {3, 4, 5}, {3, 1, 5});
  sum(make, "permuted, ", {6, 9}, {1, 9}, reversed(2));
  sum(make, "permuted, ", {6, 9}, {6, 1}, reversed(2));
  sum(make, "strided, ", {6, 9}, {6, 1}, {{}, 2, 3, 0}, {{}, 2, 0, 0});
  sum(make, "strided result, ", {6, 9}, {1, 9}, {{}, 1, 3, 0}, {{}, 2, 0, 0});
  sum(make, "stride 0, ", {6, 9}, {1, 9}, {{}, 1, 0, 1});
  sum(make, "stride 0, ", {6, 9}, {6, 1}, {{}, 1, 0, 2});
  sum(make, "large, ", {2003, 67}, {1, 67});
  sum(make, "large, ", {67, 2003}, {67, 1});
  sum(make, "large, ", {100003}, {1});
  sum(make, "large, permuted, ", {403, 301}, {1, 301}, reversed(2));
}

void softmax_problems(Maker& make) {
  for (const Case& c : elementwise_cases()) {
    const std::int32_t rows = static_cast<std::int32_t>(c.shape.size()) - 1;
    for (const double range : {2.0, 60.0}) {
      std::vector<Operand> in = {make.real(c.shape, c.layout, -range, range)};
      const std::string what = c.what + (range > 2 ? std::string(", far apart") : "");
      Problem& problem =
          make.add(what, in, {make.result(c.shape, c.result_layout)}, {}, softmax_scale);
      if (rows == 1 && c.shape[0] > 2)
        problem.fewer_rows = {{false, 0, 0, c.shape[0] / 3}, {true, 0, 0, c.shape[0] / 3}};
      if (c.layout.broadcast) continue;
      make.add(what + ", in place", in, {Maker::in_place(in, 0)}, {}, softmax_scale);
    }
  }
}

void softmax_bwd_problems(Maker& make) {
  for (const Case& c : elementwise_cases()) {
    std::vector<Operand> in = {make.real(c.shape, c.layout), make.real(c.shape, c.layout, 0, 0.3)};
    make.add(c.what, in, {make.result(c.shape, c.result_layout)}, {}, softmax_bwd_scale);
    in[1] = make.real(c.shape, {}, 0, 0.3);
    make.add(std::string(c.what) + " on dy", in, {make.result(c.shape, c.result_layout)}, {},
             softmax_bwd_scale);
    if (c.layout.broadcast) continue;
    in[1] = make.real(c.shape, c.layout, 0, 0.3);
    make.add(std::string(c.what) + ", in place of dy", in, {Maker::in_place(in, 0)}, {},
             softmax_bwd_scale);
    make.add(std::string(c.what) + ", in place of y", in, {Maker::in_place(in, 1)}, {},
             softmax_bwd_scale);
  }
}

}  // namespace graft::conform
