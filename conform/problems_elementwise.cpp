#include "problems.hpp"

namespace graft::conform {

std::vector<Case> elementwise_cases() {
  return {
      {"empty", {0}, {}, {}},
      {"empty rows", {0, 5}, {}, {}},
      {"rows of nothing", {5, 0}, {}, {}},
      {"one element", {1}, {}, {}},
      {"one element of rank 3", {1, 1, 1}, {}, {}},
      {"odd", {7, 13}, {}, {}},
      {"longer than a vector", {1003}, {}, {}},
      {"permuted input", {7, 9}, reversed(2), {}},
      {"permuted result", {5, 33}, {}, reversed(2)},
      {"axes in another order", {3, 4, 5}, {{1, 0, 2}, 1, 0, 0}, {{2, 0, 1}, 1, 0, 0}},
      {"every third element", {4, 11}, {{}, 3, 0, 0}, {{}, 2, 0, 0}},
      {"padded rows", {6, 17}, {{}, 1, 5, 0}, {{}, 1, 3, 0}},
      {"first axis of stride 0", {5, 19}, {{}, 1, 0, 1}, {}},
      {"last axis of stride 0", {5, 19}, {{}, 1, 0, 2}, {}},
      {"all axes of stride 0", {5, 19}, {{}, 1, 0, 3}, {}},
      {"middle axis of stride 0", {3, 4, 6}, {{}, 1, 0, 2}, {}},
      {"eight axes", {2, 1, 3, 2, 1, 2, 3, 2}, reversed(8), {}},
      {"large", {131, 1029}, {}, {}},
      {"large, permuted", {101, 223}, reversed(2), {}},
      {"large, strided", {65, 310}, {{}, 2, 7, 0}, {{}, 1, 9, 0}},
  };
}

namespace {

void unary(Maker& make, const std::string& what, const std::vector<graft_attr>& attrs, double low,
           double high, const Scale& scale, double tolerance, bool large = true) {
  for (const Case& c : elementwise_cases()) {
    if (!large && count_of(c.shape) > 10000) continue;
    make.add(what + c.what, {make.real(c.shape, c.layout, low, high)},
             {make.result(c.shape, c.result_layout)}, attrs, scale)
        .tolerance = tolerance;
    if (c.layout.broadcast) continue;
    std::vector<Operand> in = {make.real(c.shape, c.layout, low, high)};
    Result y = Maker::in_place(in, 0);
    make.add(what + c.what + ", in place", in, {y}, attrs, scale).tolerance = tolerance;
  }
}

void binary(Maker& make, const std::string& what, const std::vector<graft_attr>& attrs, double low,
            double high, const Scale& scale, double tolerance, bool large = true) {
  for (const Case& c : elementwise_cases()) {
    if (!large && count_of(c.shape) > 10000) continue;
    // The layout on a, on b, on both.
    for (const char* on : {"a", "b", "a and b"}) {
      const bool a = on[0] == 'a', b = on[0] == 'b' || on[1] != '\0';
      const auto operand = [&](bool given) {
        return make.real(c.shape, given ? c.layout : Layout{}, low, high);
      };
      make.add(what + c.what + " on " + on, {operand(a), operand(b)},
               {make.result(c.shape, c.result_layout)}, attrs, scale)
          .tolerance = tolerance;
    }
    for (std::size_t input = 0; input < 2 && !c.layout.broadcast; ++input) {
      std::vector<Operand> in = {make.real(c.shape, c.layout, low, high),
                                 make.real(c.shape, c.layout, low, high)};
      Result y = Maker::in_place(in, input);
      make.add(what + c.what + ", in place of " + (input ? "b" : "a"), in, {y}, attrs, scale)
          .tolerance = tolerance;
    }
  }
  // A row and a column made to a matrix.
  make.add(what + "column with row",
           {make.real({9, 21}, {{}, 1, 0, 2}, low, high),
            make.real({9, 21}, {{}, 1, 0, 1}, low, high)},
           {make.result({9, 21})}, attrs, scale)
      .tolerance = tolerance;
}

std::vector<Values> sum_of_magnitudes(const Problem& problem, const std::vector<Values>&) {
  Values scale = problem.in[0].values;
  for (std::size_t i = 0; i < scale.size(); ++i)
    scale[i] = std::fabs(scale[i]) + std::fabs(problem.in[1].values[i]);
  return {scale};
}

struct Act {
  std::int64_t kind;
  const char* name;
  double low, high;
  double floor;  // absolute part of the error scale; 0: one rounding of the value
};
constexpr Act kActs[] = {
    {GRAFT_ACT_RELU, "relu, ", -4, 4, 0},
    {GRAFT_ACT_GELU, "gelu, ", -6, 6, 0.1},
    {GRAFT_ACT_GELU_TANH, "gelu_tanh, ", -6, 6, 0.1},
    {GRAFT_ACT_SILU, "silu, ", -20, 20, 0.1},
    {GRAFT_ACT_TANH, "tanh, ", -12, 12, 0.1},
    {GRAFT_ACT_SIGMOID, "sigmoid, ", -90, 90, 0.1},
    {GRAFT_ACT_EXP, "exp, ", -20, 10, 1e-30},
    {GRAFT_ACT_SQRT, "sqrt, ", 1e-3, 50, 1e-30},
    {GRAFT_ACT_ABS, "abs, ", -4, 4, 0},
    {GRAFT_ACT_SIGN, "sign, ", -4, 4, 0},
};

}  // namespace

// For every pair of types; `type` is that of x.
void copy_problems(Maker& make) {
  for (const std::uint32_t to : {GRAFT_F64, GRAFT_F32, GRAFT_F16, GRAFT_BF16, GRAFT_I32}) {
    const std::string what = std::string("to ") + backend::dtype_name(to) + ", ";
    const bool whole = to == GRAFT_I32 || make.type() == GRAFT_I32;
    const double range = !whole ? 3 : to == GRAFT_F16 || make.type() == GRAFT_F16 ? 2000 : 1e9;
    for (const Case& c : elementwise_cases()) {
      Operand x = make.real(c.shape, c.layout, -range, range);
      if (whole) {
        for (double& value : x.values) value = std::trunc(value);
        x.values = rounded(std::move(x.values), make.type());
        // bf16 keeps 8 bits, so a whole number stays whole.
      }
      make.add(what + c.what, {x}, {Maker::result_as(to, c.shape, c.result_layout)}, {}, relative)
          .tolerance = one_rounding(to);
      if (c.shape.size() == 2) {
        // The sum cannot be rounded below the rounding of its terms.
        Problem& sum = make.add_accumulating();
        for (double& value : sum.out[0].before)
          value = to == GRAFT_I32 ? std::trunc(1000 * value) : value;
        sum.tolerance = 0;
        sum.scale = magnitudes("copy/1");
      }
    }
    if (!whole) {  // subnormal in f16, and near the ends of its range
      Operand x = make.real({64}, {}, -6e-5, 6e-5);
      make.add(what + "tiny", {x}, {Maker::result_as(to, {64})}, {}, relative).tolerance =
          one_rounding(to);
      x = make.real({64}, {}, 50000, 65000);
      make.add(what + "big", {x}, {Maker::result_as(to, {64})}, {}, relative).tolerance =
          one_rounding(to);
    }
  }
  if (make.type() != GRAFT_I32) quantized_copy_problems(make);
}

void fill_problems(Maker& make) {
  for (const Case& c : elementwise_cases()) {
    if (c.layout.broadcast) continue;
    make.add(c.what, {}, {make.result(c.shape, c.layout)}, {attr_real("value", -1.375)}, relative)
        .tolerance = one_rounding(make.type());
    make.add(std::string(c.what) + ", i32", {},
             {Maker::result_as(GRAFT_I32, c.shape, c.result_layout)}, {attr_real("value", -70001)},
             relative)
        .tolerance = one_rounding(GRAFT_F64);
  }
  make.add("zero", {}, {make.result({37})}, {attr_real("value", 0)}, relative);
}

void add_problems(Maker& make) {
  binary(make, "", {}, -2, 2, sum_of_magnitudes, one_rounding(make.type()));
}
void sub_problems(Maker& make) {
  binary(make, "", {}, -2, 2, sum_of_magnitudes, one_rounding(make.type()));
}
void mul_problems(Maker& make) {
  binary(make, "", {}, -2, 2, relative, one_rounding(make.type()));
}
void div_problems(Maker& make) {
  binary(make, "", {}, 0.4, 3, relative, 2 * one_rounding(make.type()));
}

void affine_problems(Maker& make) {
  // The attributes reach a kernel for f32 as doubles and may be rounded by it.
  unary(make, "", {attr_real("mul", -0.7), attr_real("add", 0.3)}, -2, 2, magnitudes("affine/1"),
        make.type() == GRAFT_BF16 ? 0 : 4 * one_rounding(make.type()));
  unary(make, "no term, ", {attr_real("mul", 1.7), attr_real("add", 0)}, -2, 2,
        magnitudes("affine/1"), make.type() == GRAFT_BF16 ? 0 : 4 * one_rounding(make.type()));
}

void act_problems(Maker& make) {
  for (const Act& act : kActs) {
    const auto scale = [act](const Problem& problem, const std::vector<Values>& right) {
      auto out = relative(problem, right);
      for (double& value : out[0]) value += act.floor;
      return out;
    };
    unary(make, act.name, {attr("kind", act.kind)}, act.low, act.high, scale,
          act.floor > 0 ? 0 : one_rounding(make.type()), act.kind == GRAFT_ACT_SILU);
  }
  for (const std::int64_t kind : {GRAFT_ACT_RELU, GRAFT_ACT_ABS, GRAFT_ACT_SIGN, GRAFT_ACT_SILU}) {
    Operand zeros = make.real({19}, {}, 0, 0);
    make.add("at 0, kind " + std::to_string(kind), {zeros}, {make.result({19})},
             {attr("kind", kind)}, relative);
  }
}

void act_bwd_problems(Maker& make) {
  for (const Act& act : kActs) {
    // 1 - tanh^2 and its like cancel where the function is flat.
    const auto scale = [act](const Problem& problem, const std::vector<Values>& right) {
      auto out = relative(problem, right);
      for (std::size_t i = 0; i < out[0].size(); ++i)
        out[0][i] += 5 * act.floor * std::fabs(problem.in[0].values[i]);
      return out;
    };
    // x from one range, dy from the same: for sqrt both are positive, which is no loss.
    binary(make, act.name, {attr("kind", act.kind)}, act.low, act.high, scale,
           act.floor > 0 ? 0 : one_rounding(make.type()), act.kind == GRAFT_ACT_SILU);
  }
  for (const std::int64_t kind : {GRAFT_ACT_ABS, GRAFT_ACT_SIGN, GRAFT_ACT_SILU}) {
    make.add("at 0, kind " + std::to_string(kind), {make.real({19}), make.real({19}, {}, 0, 0)},
             {make.result({19})}, {attr("kind", kind)}, relative);
  }
}

}  // namespace graft::conform
