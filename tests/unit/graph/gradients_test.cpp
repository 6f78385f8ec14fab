// Every differentiable op against central differences in f64 on the reference backend.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "core/graph/differentiate.hpp"
#include "core/graph/program.hpp"
#include "tests/unit/graph/central_difference.hpp"
#include "tests/unit/graph/ref_device.hpp"

namespace graft::core {
namespace {

struct Operand {
  std::vector<std::int64_t> dims;
  double low = -1, high = 1;  // where the op is smooth
};

struct Case {
  std::string name;
  std::vector<Operand> operands;  // trainable parameters
  std::function<ValueId(Recorder&, const std::vector<ValueId>&)> record;
  std::vector<std::pair<std::string, std::vector<std::int32_t>>> inputs = {};
  Bindings extents = {};
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

std::vector<double> random_values(std::int64_t n, double low, double high, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<double> values(static_cast<std::size_t>(n));
  for (double& v : values) v = uniform(generator);
  return values;
}

/// Records sum(y * g), runs it, and keeps values and gradients of the operands.
class Probe {
 public:
  explicit Probe(const Case& c, Recompute recompute = Recompute::kNothing) : case_(c) {
    Graph graph;
    Recorder r(graph);
    std::vector<ValueId> operands;
    for (std::size_t i = 0; i < c.operands.size(); ++i) {
      Shape shape(c.operands[i].dims.begin(), c.operands[i].dims.end());
      const auto slot = static_cast<std::int32_t>(i);
      operands.push_back(r.leaf(Role::kParameter, slot, GRAFT_F64, shape, "p", true));
    }
    r.at("layer", 0);
    const ValueId y = c.record(r, operands);
    r.at("", -1);
    const Shape shape = r.shape(y);
    const ValueId weight = r.leaf(Role::kWeight, 0, GRAFT_F64, shape, "g");
    upstream_ = random_values(count(shape, c.extents), 0.3, 1.7, 99);
    loss_ = r.reduce_to(r.mul(y, weight), Shape(shape.size(), 1));
    loss_ = r.reshape(loss_, {1});
    graph.results = {loss_};
    for (const auto& [leaf, gradient] : differentiate(r, loss_)) {
      const ValueId target =
          r.leaf(Role::kBuffer, graph[leaf].slot, GRAFT_F64, graph[leaf].shape, "gradient");
      r.direction(Direction::kBackward);
      r.assign(gradient, target, true);
    }
    PlanOptions options;
    options.bounds = c.extents;
    options.recompute = recompute;
    options.tile_rows = 2;
    Plan plan = make_plan(r, ref_device(), options);
    auto scratch = std::make_shared<Scratch>();
    scratch->require(plan);
    scratch->allocate(ref_device());
    program_ = std::make_unique<Program>(std::move(plan), ref_device(), scratch);
    program_->bind(Role::kWeight, 0, upstream_.data());
    for (std::size_t i = 0; i < c.operands.size(); ++i) {
      const Operand& o = c.operands[i];
      std::int64_t n = 1;
      for (const std::int64_t d : o.dims) n *= d;
      values.push_back(random_values(n, o.low, o.high, static_cast<unsigned>(i + 1)));
      gradients.emplace_back(values.back().size(), 0.0);
      program_->bind(Role::kParameter, static_cast<std::int32_t>(i), values.back().data());
      program_->bind(Role::kBuffer, static_cast<std::int32_t>(i), gradients.back().data());
    }
    for (const auto& [name, data] : c.inputs) {
      program_->set_input(name, data.data(), data.size() * sizeof(std::int32_t));
    }
    const std::vector<float> inv_freq = {0.9f, 0.3f};
    program_->set_input("inv_freq", inv_freq.data(), inv_freq.size() * sizeof(float));
  }

  double loss() {
    for (auto& g : gradients) std::fill(g.begin(), g.end(), 0.0);
    program_->run(case_.extents);
    double value = 0;
    program_->read(loss_, &value);
    return value;
  }

  std::vector<std::vector<double>> values, gradients;

 private:
  Case case_;
  std::vector<double> upstream_;
  ValueId loss_ = kNone;
  std::unique_ptr<Program> program_;
};

class Gradients : public testing::TestWithParam<Case> {};

TEST_P(Gradients, MatchCentralDifferences) {
  for (const Recompute policy : {Recompute::kNothing, Recompute::kLean, Recompute::kBlock}) {
    Probe probe(GetParam(), policy);
    probe.loss();
    const auto analytic = probe.gradients;
    for (std::size_t i = 0; i < probe.values.size(); ++i) {
      double largest = 0;
      for (std::size_t k = 0; k < probe.values[i].size(); ++k) {
        const double numeric =
            test::central_difference(probe.values[i][k], [&] { return probe.loss(); });
        EXPECT_NEAR(analytic[i][k], numeric, 2e-7 * std::max(1.0, std::abs(numeric)))
            << "operand " << i << ", element " << k;
        largest = std::max(largest, std::abs(numeric));
      }
      EXPECT_GT(largest, 1e-3) << "operand " << i << " does not act on the loss";
    }
  }
}

Case unary(const std::string& name, std::int32_t kind, double low, double high) {
  return {name, {{{3, 5}, low, high}}, [kind](Recorder& r, const std::vector<ValueId>& p) {
            return r.act(p[0], kind);
          }};
}

Case binary(const std::string& op, std::vector<std::int64_t> a, std::vector<std::int64_t> b) {
  std::string name = op;
  for (const auto d : a) name += "_" + std::to_string(d);
  name += "_with";
  for (const auto d : b) name += "_" + std::to_string(d);
  return {name, {{a, 0.4, 1.6}, {b, 0.5, 1.5}}, [op](Recorder& r, const std::vector<ValueId>& p) {
            return r.one(op, {p[0], p[1]});
          }};
}

Case product(const std::string& name, std::vector<std::int64_t> a, std::vector<std::int64_t> b,
             std::uint32_t flags, bool bias = false) {
  Case c{name, {{a}, {b}}, [flags, bias](Recorder& r, const std::vector<ValueId>& p) {
           return r.matmul(p[0], p[1], flags, bias ? p[2] : kNone);
         }};
  if (bias) c.operands.push_back({{(flags & GRAFT_TRANS_B) ? b[b.size() - 2] : b.back()}});
  return c;
}

Case attention(const std::string& name, std::int64_t causal, std::int64_t window, double softcap) {
  // Two documents of 2 and 3 queries; the second has a key more than queries, one key is nobody's.
  return {name,
          {{{5, 4, 3}}, {{7, 2, 3}}, {{7, 2, 2}}},
          [=](Recorder& r, const std::vector<ValueId>& p) {
            const ValueId cu = r.input("cu_q", GRAFT_I32, {3});
            const ValueId begin = r.input("k_begin", GRAFT_I32, {2});
            const ValueId length = r.input("k_len", GRAFT_I32, {2});
            return r.record("attention", {p[0], p[1], p[2], cu, begin, length},
                            {{"scale", 0, 0.7},
                             {"causal", causal, 0},
                             {"window", window, 0},
                             {"softcap", 0, softcap}})[0];
          },
          {{"cu_q", {0, 2, 5}}, {"k_begin", {0, 3}}, {"k_len", {2, 4}}}};
}

std::vector<Case> cases() {
  using P = const std::vector<ValueId>&;
  std::vector<Case> all = {
      binary("add", {3, 4}, {3, 4}),
      binary("add", {3, 4}, {4}),
      binary("sub", {3, 1}, {3, 4}),
      binary("mul", {2, 3, 4}, {3, 1}),
      binary("div", {3, 4}, {3, 4}),
      binary("div", {3, 4}, {1}),
      unary("relu", GRAFT_ACT_RELU, 0.2, 1),
      unary("relu_below", GRAFT_ACT_ABS, -1, -0.2),
      unary("gelu", GRAFT_ACT_GELU, -2, 2),
      unary("gelu_tanh", GRAFT_ACT_GELU_TANH, -2, 2),
      unary("silu", GRAFT_ACT_SILU, -2, 2),
      unary("tanh", GRAFT_ACT_TANH, -2, 2),
      unary("sigmoid", GRAFT_ACT_SIGMOID, -2, 2),
      unary("exp", GRAFT_ACT_EXP, -1, 1),
      unary("sqrt", GRAFT_ACT_SQRT, 0.5, 2),
      product("matmul", {3, 4}, {4, 5}, 0),
      product("matmul_ta", {4, 3}, {4, 5}, GRAFT_TRANS_A),
      product("matmul_tb_bias", {3, 4}, {5, 4}, GRAFT_TRANS_B, true),
      product("matmul_ta_tb", {4, 3}, {5, 4}, GRAFT_TRANS_A | GRAFT_TRANS_B),
      {"matmul_scaled",
       {{{3, 4}}, {{4, 5}}, {{5}}},
       [](Recorder& r, P p) {
         return r.one("matmul", {p[0], p[1], p[2]}, {{"alpha", 0, 0.7}});
       }},
      product("matmul_batched", {2, 3, 4}, {4, 5}, 0),
      product("matmul_batched_left", {3, 4}, {2, 5, 4}, GRAFT_TRANS_B),
      {"affine", {{{3, 4}}}, [](Recorder& r, P p) { return r.affine(p[0], -0.7, 0.3); }},
      {"sum_middle", {{{2, 3, 4}}}, [](Recorder& r, P p) { return r.sum(p[0], 1, false); }},
      {"softmax", {{{3, 5}, -2, 2}}, [](Recorder& r, P p) { return r.one("softmax", {p[0]}); }},
      {"skew", {{{2, 6}}}, [](Recorder& r, P p) { return r.one("skew", {p[0]}); }},
      {"unskew", {{{2, 3, 3}}}, [](Recorder& r, P p) { return r.one("unskew", {p[0]}); }},
      {"inverse",
       {{{2, 3, 3}, -0.4, 0.4}},
       [](Recorder& r, P p) {
         return r.one("inverse", {p[0]}, {{"shift", 0, 1.7}});
       }},
      {"reshape",
       {{{2, 6}}},
       [](Recorder& r, P p) {
         return r.mul(r.reshape(p[0], {3, 4}), r.reshape(p[0], {3, 4}));
       }},
      {"permute_reshape",
       {{{2, 3, 4}}},
       [](Recorder& r, P p) {
         const ValueId x = r.reshape(r.permute(p[0], {2, 0, 1}), {4, 6});
         return r.mul(x, x);
       }},
      {"expand",
       {{{3, 1}}},
       [](Recorder& r, P p) {
         const ValueId x = r.expand(p[0], {2, 3, 4});
         return r.mul(x, x);
       }},
      {"slice",
       {{{3, 5}}},
       [](Recorder& r, P p) {
         const ValueId x = r.slice(p[0], 1, 1, 4);
         return r.mul(x, x);
       }},
      {"concat",
       {{{3, 2}}, {{3, 4}}},
       [](Recorder& r, P p) {
         const ValueId x = r.concat({p[0], p[1], p[0]}, 1);
         return r.mul(x, x);
       }},
      {"detach_half",
       {{{3, 4}, 0.5, 1.5}},
       [](Recorder& r, P p) {
         // y = x + stop(x) - stop(x): only the first counts.
         const ValueId s = r.one("detach", {p[0]});
         return r.sub(r.add(r.mul(p[0], p[0]), s), s);
       }},
      {"norm_rms",
       {{{3, 6}, -2, 2}, {{6}, 0.4, 1.8}},
       [](Recorder& r, P p) { return r.norm(p[0], p[1], kNone, GRAFT_NORM_RMS, 1e-2); }},
      {"norm_rms_offset",
       {{{3, 6}, -2, 2}, {{6}, 0.4, 1.8}},
       [](Recorder& r, P p) { return r.norm(p[0], p[1], kNone, GRAFT_NORM_RMS, 1e-2, -0.7); }},
      {"norm_layer",
       {{{3, 6}, -2, 2}, {{6}, 0.4, 1.8}, {{6}}},
       [](Recorder& r, P p) { return r.norm(p[0], p[1], p[2], GRAFT_NORM_LAYER, 1e-2); }},
      {"rope",
       {{{3, 2, 6}}},
       [](Recorder& r, P p) {
         const ValueId at = r.input("positions", GRAFT_I32, {3});
         const ValueId f = r.input("inv_freq", GRAFT_F32, {2});
         return r.one("rope", {p[0], at, f}, {{"scale", 0, 1.3}});
       },
       {{"positions", {0, 2, 5}}}},
      {"gather",
       {{{4, 3}}},
       [](Recorder& r, P p) {
         const ValueId x = r.one("gather", {p[0], r.input("ids", GRAFT_I32, {5})});
         return r.mul(x, x);
       },
       {{"ids", {3, 0, 3, 1, 2}}}},
      {"scatter_add",
       {{{5, 3}}},
       [](Recorder& r, P p) {
         Params params;
         params.shape = {4, 3};
         params.attrs = {{"dtype", GRAFT_F64, 0}};
         const ValueId x =
             r.record(*find_op("scatter_add"), {p[0], r.input("ids", GRAFT_I32, {5})}, params)[0];
         return r.mul(x, x);
       },
       {{"ids", {3, 0, 3, 1, 2}}}},
      {"swiglu",
       {{{3, 4}, -2, 2}, {{3, 4}}},
       [](Recorder& r, P p) {
         return r.one("swiglu", {p[0], p[1]});
       }},
      {"dropout",
       {{{4, 3}, 0.5, 1.5}},
       [](Recorder& r, P p) {
         return r.one("dropout",
                      {p[0], r.input("keys", GRAFT_I32, {4, 2}), r.input("seed", GRAFT_I32, {2})},
                      {{"p", 0, 0.4}, {"stream", 3, 0}});
       },
       {{"keys", {0, 0, 0, 1, 1, 0, 1, 1}}, {"seed", {7, 9}}}},
      {"cross_entropy",
       {{{4, 5}, -2, 2}},
       [](Recorder& r, P p) {
         return r.record("cross_entropy", {p[0], r.input("labels", GRAFT_I32, {4})})[0];
       },
       {{"labels", {4, 0, -100, 2}}}},
      attention("attention_causal", 1, 0, 0),
      attention("attention_full_softcap", 0, 0, 1.5),
      attention("attention_window", 1, 2, 0),
  };
  // Head and loss over supervised rows, cut into tiles of two: both factors and a shared use.
  Case head{"tiled_head",
            {{{7, 3}}, {{5, 3}, -2, 2}},
            [](Recorder& r, P p) {
              const ValueId rows = r.input("rows", GRAFT_I32, {Symbol::kSupervised});
              const ValueId x = r.one("gather", {r.mul(p[0], p[0]), rows});
              const ValueId logits = r.matmul(x, p[1], GRAFT_TRANS_B);
              const ValueId labels = r.input("labels", GRAFT_I32, {Symbol::kSupervised});
              return r.sum(r.record("cross_entropy", {logits, labels})[0], 0, true);
            },
            {{"rows", {0, 2, 3, 5, 6}}, {"labels", {4, 0, 1, 3, 2}}}};
  head.extents[Symbol::kSupervised] = 5;
  all.push_back(head);
  // Rows in groups, one of them empty: each group its own factor, which one goes without.
  Case groups{"row_groups", {{{7, 3}}, {{3}, 0.5, 1.5}}, [](Recorder& r, P p) {
                const Shape rows = {group_rows(0), group_rows(1), group_rows(2)};
                std::vector<ValueId> parts = r.split_rows(p[0], rows);
                parts[0] = r.mul(r.mul(parts[0], parts[0]), p[1]);
                parts[1] = r.mul(parts[1], p[1]);
                const ValueId all_rows = r.join_rows(parts, 7);
                const std::vector<ValueId> again = r.split_rows(all_rows, rows);
                const ValueId rest = r.join_rows({again[0], parts[1], again[2]}, 7);
                return r.mul(r.join_rows(r.split_rows(rest, rows), 7), all_rows);
              }};
  groups.extents[group_rows(0)] = 3;
  groups.extents[group_rows(2)] = 4;
  all.push_back(groups);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Ops, Gradients, testing::ValuesIn(cases()),
                         [](const auto& tested) { return tested.param.name; });

// 301 ones: bf16 has no such number, and a gradient that went through it would be 300 or 302.
TEST(Gradients, OfTrainedTensorsAreSummedInF32) {
  using Use = std::function<ValueId(Recorder&, ValueId x, ValueId p)>;
  const std::vector<std::pair<const char*, Use>> uses = {
      {"bias", [](Recorder& r, ValueId x, ValueId p) { return r.matmul(x, x, GRAFT_TRANS_B, p); }},
      {"add", [](Recorder& r, ValueId x, ValueId p) { return r.add(x, p); }},
      {"mul", [](Recorder& r, ValueId x, ValueId p) { return r.mul(p, x); }},
      {"div", [](Recorder& r, ValueId x, ValueId p) { return r.div(x, p); }}};
  for (const auto& [name, use] : uses) {
    const bool bias = std::string_view(name) == "bias";
    const Extent columns = bias ? 301 : 2;
    Graph graph;
    Recorder r(graph);
    const ValueId p = r.leaf(Role::kParameter, 0, GRAFT_BF16, {columns}, "p", true);
    const ValueId x = r.leaf(Role::kWeight, 0, GRAFT_BF16, {301, 2}, "x");
    const ValueId y = use(r, x, p);
    const ValueId loss = r.reshape(r.reduce_to(r.cast(y, GRAFT_F32), {1, 1}), {1});
    const auto gradients = differentiate(r, loss);
    EXPECT_EQ(r.dtype(gradients.at(p)), std::uint32_t{GRAFT_F32}) << name;
    r.assign(gradients.at(p), r.leaf(Role::kBuffer, 0, GRAFT_F32, {columns}, "gradient"), false);
    Plan plan = make_plan(r, ref_device(), PlanOptions{});
    auto scratch = std::make_shared<Scratch>();
    scratch->require(plan);
    scratch->allocate(ref_device());
    Program program(std::move(plan), ref_device(), scratch);
    const std::vector<std::uint16_t> ones(602, 0x3F80);
    std::vector<float> gradient(301, -1.0f);
    std::vector<std::uint16_t> x_data = ones, p_data = ones;
    program.bind(Role::kWeight, 0, x_data.data());
    program.bind(Role::kParameter, 0, p_data.data());
    program.bind(Role::kBuffer, 0, gradient.data());
    program.run({});
    EXPECT_EQ(gradient[0], std::string_view(name) == "div" ? -301.0f : 301.0f) << name;
  }
}

TEST(Gradients, EveryDifferentiableOpHasACase) {
  std::set<std::string_view> covered;
  for (const Case& c : cases()) {
    Graph graph;
    Recorder r(graph);
    std::vector<ValueId> operands;
    for (const Operand& o : c.operands) {
      operands.push_back(r.leaf(Role::kParameter, static_cast<std::int32_t>(operands.size()),
                                GRAFT_F64, Shape(o.dims.begin(), o.dims.end()), "p", true));
    }
    c.record(r, operands);
    for (const Node& node : graph.nodes) covered.insert(node.op->name);
  }
  for (const OpDef* op : all_ops()) {
    if (!op->derive || op->name == "cast") continue;  // cast: there is one floating type here
    EXPECT_TRUE(covered.count(op->name)) << op->name;
  }
}

}  // namespace
}  // namespace graft::core
