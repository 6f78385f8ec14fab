// Recordings over quantized weights give what they give over the weights expanded.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/graph/differentiate.hpp"
#include "core/graph/program.hpp"
#include "core/tensor/quantize.hpp"
#include "tests/unit/graph/ref_device.hpp"

namespace graft::core {
namespace {

constexpr std::int64_t kRows = 6, kColumns = 64, kBatch = 5;

/// A weight [kRows, kColumns] in blocks and as numbers.
struct Weight {
  std::shared_ptr<graft_quant> quant;
  std::vector<std::byte> memory;
  std::vector<double> values;
};

Weight make_weight() {
  Weight w;
  w.quant = std::make_shared<graft_quant>(quantized_shape("nf4", kRows, kColumns, 64, true));
  w.memory.resize(buffer_bytes(*w.quant));
  set_buffers(*w.quant, w.memory.data());
  std::vector<float> x(static_cast<std::size_t>(kRows * kColumns));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i * i % 97));
  quantize(*w.quant, x.data(), 1, "w");
  w.values.resize(x.size());
  expand_rows(*w.quant, GRAFT_F64, w.values.data(), 0, kRows);
  return w;
}

using Recording = std::function<ValueId(Recorder&, ValueId w)>;

struct Outcome {
  std::vector<double> result, gradient;
  std::vector<std::string> decomposed;
  std::int64_t casts = 0;
};

/// The sum of what is recorded times the parameter p [kBatch, kRows] or what fits it; gradient of p.
Outcome run(const Recording& record, bool quantized, const Shape& of_parameter) {
  const Weight weight = make_weight();
  Graph graph;
  Recorder r(graph);
  const ValueId w = r.leaf(Role::kWeight, 0, GRAFT_F64, {kRows, kColumns}, "w", false,
                           quantized ? weight.quant : nullptr);
  const ValueId y = record(r, w);
  const ValueId p = r.leaf(Role::kParameter, 0, GRAFT_F64, of_parameter, "p", true);
  static_cast<void>(p);
  const ValueId flat = r.reshape(y, {count(r.shape(y), {})});
  const ValueId loss = r.sum(r.mul(flat, flat), 0, true);
  graph.results = {y};
  for (const auto& [leaf, gradient] : differentiate(r, loss)) {
    const ValueId to = r.leaf(Role::kBuffer, 0, GRAFT_F64, of_parameter, "g");
    r.assign(gradient, to, true);
  }
  PlanOptions options;
  options.recompute = Recompute::kLean;
  Plan plan = make_plan(r, ref_device(), options);
  Outcome outcome;
  outcome.decomposed = plan.decomposed;
  for (const Node& n : plan.graph.nodes) {
    outcome.casts += n.op->name == "cast" && plan.graph[n.in[0]].quant;
  }
  auto scratch = std::make_shared<Scratch>();
  scratch->require(plan);
  scratch->allocate(ref_device());
  Program program(std::move(plan), ref_device(), scratch);
  std::vector<double> parameter(static_cast<std::size_t>(count(of_parameter, {})));
  for (std::size_t i = 0; i < parameter.size(); ++i) parameter[i] = 0.1 + 0.03 * (i % 11);
  outcome.gradient.resize(parameter.size());
  std::vector<double> dense = weight.values;
  program.bind(Role::kWeight, 0, dense.data());
  program.bind(Role::kParameter, 0, parameter.data());
  program.bind(Role::kBuffer, 0, outcome.gradient.data());
  program.run({});
  outcome.result.resize(static_cast<std::size_t>(program.layout(y).count()));
  program.read(y, outcome.result.data());
  return outcome;
}

Outcome expect_equal(const Recording& record, const Shape& of_parameter) {
  const Outcome right = run(record, false, of_parameter), got = run(record, true, of_parameter);
  EXPECT_EQ(got.result, right.result);
  EXPECT_EQ(got.gradient, right.gradient);
  const auto nonzero = [](double x) { return x != 0; };
  EXPECT_TRUE(std::any_of(got.gradient.begin(), got.gradient.end(), nonzero));
  return got;
}

ValueId parameter(Recorder& r, const Shape& shape) {
  return r.leaf(Role::kParameter, 0, GRAFT_F64, shape, "p", true);
}

TEST(QuantizedWeight, IsMultipliedInItsBlocksForwardAndBackward) {
  const Outcome o = expect_equal(
      [](Recorder& r, ValueId w) {
        return r.matmul(parameter(r, {kBatch, kColumns}), w, GRAFT_TRANS_B);
      },
      {kBatch, kColumns});
  EXPECT_EQ(o.casts, 0);
  EXPECT_TRUE(o.decomposed.empty());
}

TEST(QuantizedWeight, IsGatheredFromItsBlocks) {
  const Outcome o = expect_equal(
      [](Recorder& r, ValueId w) {
        const ValueId ids = r.cast(r.fill(GRAFT_F64, {kBatch}, 3), GRAFT_I32);
        return r.mul(r.one("gather", {w, ids}), parameter(r, {kBatch, kColumns}));
      },
      {kBatch, kColumns});
  EXPECT_EQ(o.casts, 0);
}

// What methods do with a weight: they look at it as they like.
TEST(QuantizedWeight, IsExpandedForWhatDoesNotTakeBlocks) {
  const Outcome o = expect_equal(
      [](Recorder& r, ValueId w) {
        const ValueId t = r.permute(w, {1, 0});                       // a view
        const ValueId v = r.mul(w, parameter(r, {kRows, kColumns}));  // an elementwise op
        return r.add(r.matmul(v, t), r.matmul(w, v, GRAFT_TRANS_B));  // the left factor
      },
      {kRows, kColumns});
  EXPECT_GT(o.casts, 0);
  EXPECT_LE(o.casts, 2);  // once in each direction
}

}  // namespace
}  // namespace graft::core
