// Plans: memory is never shared by values that live at the same time, rewrites change no result.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "core/graph/differentiate.hpp"
#include "core/graph/passes.hpp"
#include "core/graph/program.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/graph/ref_device.hpp"

namespace graft::core {
namespace {

std::vector<double> random_values(std::int64_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> values(static_cast<std::size_t>(n));
  for (double& v : values) v = uniform(generator);
  return values;
}

/// Writes a recording; its results in order of interest.
using Recording = std::function<std::vector<ValueId>(Recorder&)>;

struct Options {
  bool apart = false;  ///< every value keeps its memory to the end
  PlanOptions plan;
  Bindings actual;
};

/// Plans and runs over memory that is full of NaNs, so that what is read before it is written
/// shows. Leaves have random values; buffers begin as zeros and come behind the results.
std::vector<std::vector<double>> run(const Recording& record, const Options& options,
                                     Plan* seen = nullptr) {
  Graph graph;
  Recorder r(graph);
  const std::vector<ValueId> results = record(r);
  graph.results = results;
  if (options.apart) {
    for (const Node& node : graph.nodes) {
      graph.results.insert(graph.results.end(), node.out.begin(), node.out.end());
    }
  }
  Plan plan = make_plan(r, ref_device(), options.plan);
  if (seen) {
    seen->arena_bytes = plan.arena_bytes;
    seen->tiled_begin = plan.tiled_begin;
    seen->tiled_end = plan.tiled_end;
    seen->graph = plan.graph;
    seen->calls = plan.calls;
    seen->holders = plan.holders;
  }
  auto scratch = std::make_shared<Scratch>();
  scratch->require(plan);
  scratch->allocate(ref_device());
  std::memset(scratch->arena(), 0xff, scratch->arena_bytes());
  Program program(std::move(plan), ref_device(), scratch);
  std::vector<std::vector<double>> memory;
  memory.reserve(program.plan().graph.values.size());
  std::vector<std::size_t> buffers;
  std::vector<std::pair<int, std::int32_t>> bound;
  for (const Value& v : program.plan().graph.values) {
    if (v.role == Role::kInput || v.role == Role::kComputed) continue;
    const std::pair<int, std::int32_t> key{static_cast<int>(v.role), v.slot};
    if (std::find(bound.begin(), bound.end(), key) != bound.end()) continue;
    bound.push_back(key);
    const std::int64_t n = count(v.shape, options.plan.bounds);
    if (v.role == Role::kBuffer) {
      buffers.push_back(memory.size());
      memory.emplace_back(static_cast<std::size_t>(n), 0.0);
    } else {
      memory.push_back(random_values(n, static_cast<unsigned>(17 * v.slot + 3)));
    }
    program.bind(v.role, v.slot, memory.back().data());
  }
  std::vector<std::int32_t> ids(64);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i * 5 % 3);
  for (const ValueId input : program.plan().graph.inputs) {
    const Value& v = program.plan().graph[input];
    const auto n = static_cast<std::size_t>(count(v.shape, options.plan.bounds));
    program.set_input(v.name, ids.data(), n * sizeof(std::int32_t));
  }
  program.run(options.actual);
  std::vector<std::vector<double>> values;
  for (const ValueId id : results) {
    values.emplace_back(static_cast<std::size_t>(program.layout(id).count()));
    program.read(id, values.back().data());
  }
  for (const std::size_t b : buffers) values.push_back(memory[b]);
  return values;
}

void expect_near(const std::vector<std::vector<double>>& a,
                 const std::vector<std::vector<double>>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].size(), b[i].size());
    for (std::size_t k = 0; k < a[i].size(); ++k) {
      ASSERT_FALSE(std::isnan(a[i][k])) << what << ", value " << i;
      ASSERT_NEAR(a[i][k], b[i][k], 1e-9 * std::max(1.0, std::abs(b[i][k])))
          << what << ", value " << i << " [" << k << "]";
    }
  }
}

ValueId parameter(Recorder& r, std::int32_t slot, Shape shape) {
  return r.leaf(Role::kParameter, slot, GRAFT_F64, std::move(shape), "p", true);
}

void assign_gradients(Recorder& r, ValueId loss) {
  for (const auto& [leaf, gradient] : differentiate(r, loss)) {
    const Value p = r.value(leaf);
    const ValueId target = r.leaf(Role::kBuffer, p.slot, GRAFT_F64, p.shape, "gradient");
    r.direction(Direction::kBackward);
    r.assign(gradient, target, true);
  }
}

ValueId sum_all(Recorder& r, ValueId x) {
  return r.reshape(r.reduce_to(x, Shape(r.shape(x).size(), 1)), {1});
}

/// A random network over [rows, 4] values, its loss and gradients.
std::vector<ValueId> random_network(Recorder& r, unsigned seed) {
  std::mt19937 generator(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(generator() % n); };
  const Extent rows = Symbol::kRows;
  std::vector<ValueId> known = {
      r.one("gather", {parameter(r, 0, {3, 4}), r.input("ids", GRAFT_I32, {rows})})};
  const auto any = [&] { return known[below(known.size())]; };
  const std::size_t steps = 12 + below(12);
  for (std::size_t i = 0; i < steps; ++i) {
    r.at(cat("layers.", i / 6), static_cast<std::int32_t>(i / 6));
    const ValueId x = any();
    ValueId y = kNone;
    switch (below(10)) {
      case 0:
        y = r.add(x, any());
        break;
      case 1:
        y = r.mul(x, any());
        break;
      case 2:
        y = r.act(x, GRAFT_ACT_TANH);
        break;
      case 3:
        y = r.affine(x, 0.7, 0.1);
        break;
      case 4:
        y = r.norm(x, parameter(r, 1, {4}), kNone, GRAFT_NORM_RMS, 1e-1);
        break;
      case 5:
        y = r.concat({r.slice(x, 1, 3, 4), r.slice(any(), 1, 0, 3)}, 1);
        break;
      case 6:
        y = r.reshape(r.permute(r.reshape(x, {rows, 2, 2}), {0, 2, 1}), {rows, 4});
        break;
      case 7:
        y = r.sub(x, r.sum(any(), 1, true));
        break;
      default:  // often: what accumulates
        y = r.add(x, r.matmul(any(), parameter(r, 2 + static_cast<std::int32_t>(below(2)), {4, 4}),
                              GRAFT_TRANS_B));
    }
    known.push_back(r.act(y, GRAFT_ACT_SIGMOID));
    if (below(3) == 0) known.push_back(y);
  }
  r.at("head", -1);
  const ValueId at = r.input("at", GRAFT_I32, {Symbol::kSupervised});
  const ValueId picked = r.one("gather", {known.back(), at});
  const ValueId logits = r.matmul(picked, parameter(r, 0, {3, 4}), GRAFT_TRANS_B);
  const ValueId labels = r.input("labels", GRAFT_I32, {Symbol::kSupervised});
  ValueId loss = sum_all(r, r.record("cross_entropy", {logits, labels}).at(0));
  for (const ValueId x : known) loss = r.add(loss, r.affine(sum_all(r, x), 0.01, 0));
  assign_gradients(r, loss);
  return {loss};
}

TEST(Plan, SharesMemoryWithoutChangingResults) {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    const Recording record = [&](Recorder& r) { return random_network(r, seed); };
    Options apart;
    apart.apart = true;
    apart.plan.tile_rows = 0;
    apart.plan.bounds.value = {7, 1, 6};
    apart.actual.value = {5, 1, 4};
    const auto expected = run(record, apart);
    for (const Recompute recompute : {Recompute::kNothing, Recompute::kLean, Recompute::kBlock}) {
      for (const std::int64_t tile : {0, 1, 3, 4}) {
        Options options = apart;
        options.apart = false;
        options.plan.recompute = recompute;
        options.plan.tile_rows = tile;
        expect_near(run(record, options), expected,
                    cat("seed ", seed, ", policy ", static_cast<int>(recompute), ", tile ", tile));
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

// The act could take over a's memory if the product that accumulates onto a later were forgotten.
TEST(Plan, KeepsWhatIsAccumulatedOntoForItsOtherReaders) {
  const Recording record = [](Recorder& r) -> std::vector<ValueId> {
    const ValueId w = r.leaf(Role::kWeight, 0, GRAFT_F64, {4, 4}, "w");
    const ValueId a = r.matmul(r.leaf(Role::kWeight, 1, GRAFT_F64, {3, 4}, "x"), w);
    const ValueId b = r.act(a, GRAFT_ACT_EXP);
    return {r.add(a, r.matmul(b, w))};
  };
  Options options;
  const auto planned = run(record, options);
  options.apart = true;
  expect_near(planned, run(record, options), "exp");
}

TEST(Plan, FusesSumsIntoProductsAndGradientsIntoTheirMakers) {
  const Recording record = [](Recorder& r) -> std::vector<ValueId> {
    const ValueId w = parameter(r, 0, {4, 4});
    const ValueId x = r.leaf(Role::kWeight, 1, GRAFT_F64, {3, 4}, "x");
    const ValueId loss = sum_all(r, r.add(r.matmul(x, w), r.matmul(r.affine(x, 2, 0), w)));
    assign_gradients(r, loss);
    return {loss};
  };
  Plan plan;
  run(record, {}, &plan);
  int onto = 0;
  for (const Call& call : plan.calls) {
    const Node& node = plan.graph.nodes[static_cast<std::size_t>(call.node)];
    EXPECT_NE(node.op->name, "add");
    onto += node.onto != kNone ? 1 : 0;
  }
  EXPECT_GE(onto, 2);  // the sum of products, and the gradient of w
}

TEST(Plan, ElementwiseChainsTakeOneBuffer) {
  const Recording record = [](Recorder& r) -> std::vector<ValueId> {
    ValueId x = r.matmul(r.leaf(Role::kWeight, 0, GRAFT_F64, {64, 64}, "x"),
                         r.leaf(Role::kWeight, 0, GRAFT_F64, {64, 64}, "x"));
    for (int i = 0; i < 5; ++i) x = r.act(r.affine(x, 0.5, 0.1), GRAFT_ACT_TANH);
    return {x};
  };
  Plan plan;
  run(record, {}, &plan);
  EXPECT_EQ(plan.arena_bytes, 64u * 64 * 8);
}

std::vector<ValueId> deep(Recorder& r, int layers) {
  const Extent rows = Symbol::kRows;
  ValueId x = r.one("gather", {r.leaf(Role::kWeight, 0, GRAFT_F64, {3, 4}, "table"),
                               r.input("ids", GRAFT_I32, {rows})});
  for (std::int32_t l = 0; l < layers; ++l) {
    r.at(cat("layers.", l), l);
    const ValueId w = parameter(r, l, {16, 4});
    const ValueId h =
        r.norm(x, r.leaf(Role::kWeight, 1, GRAFT_F64, {4}, "n"), kNone, GRAFT_NORM_RMS, 1e-3);
    const ValueId up = r.act(r.matmul(h, w, GRAFT_TRANS_B), GRAFT_ACT_SILU);
    x = r.add(x, r.matmul(r.mul(up, up), w));
  }
  r.at("", -1);
  const ValueId loss = sum_all(r, r.mul(x, x));
  assign_gradients(r, loss);
  return {loss};
}

TEST(Plan, RecomputingTakesLessMemory) {
  std::uint64_t before = ~std::uint64_t{0};
  std::vector<std::vector<double>> first;
  for (const Recompute recompute : {Recompute::kNothing, Recompute::kLean, Recompute::kBlock}) {
    Options options;
    options.plan.bounds.value = {48, 1, 1};
    options.actual.value = {48, 1, 1};
    options.plan.recompute = recompute;
    Plan plan;
    const auto results = run([](Recorder& r) { return deep(r, 6); }, options, &plan);
    EXPECT_LT(plan.arena_bytes, before);
    before = plan.arena_bytes;
    if (first.empty()) first = results;
    expect_near(results, first, "recompute");
  }
}

TEST(Plan, NamesItsHoldersByKind) {
  Options options;
  options.plan.bounds.value = {48, 1, 1};
  options.actual.value = {48, 1, 1};
  Plan plan;
  run([](Recorder& r) { return deep(r, 3); }, options, &plan);
  ASSERT_FALSE(plan.holders.empty());
  EXPECT_EQ(plan.holders[0].name, "layers.*");
  std::uint64_t sum = 0;
  for (const Holder& h : plan.holders) sum += h.bytes;
  EXPECT_LE(sum, plan.arena_bytes);
  EXPECT_GE(sum, plan.arena_bytes * 8 / 10);
}

// Results over supervised rows, a sum over them and what needs that sum afterwards.
TEST(Plan, TilesFallBackWhereTheyMust) {
  const auto record = [](bool needs_the_sum_inside) -> Recording {
    return [=](Recorder& r) -> std::vector<ValueId> {
      const Extent n = Symbol::kSupervised;
      const ValueId at = r.input("at", GRAFT_I32, {n});
      const ValueId x = r.one("gather", {r.leaf(Role::kWeight, 0, GRAFT_F64, {3, 4}, "table"), at});
      const ValueId squares = r.mul(x, x);
      const ValueId sum = r.reduce_to(squares, {1, 4});
      if (!needs_the_sum_inside) return {squares, sum, r.act(sum, GRAFT_ACT_SQRT)};
      return {r.div(squares, sum)};  // every row needs the sum over all rows
    };
  };
  for (const bool inside : {false, true}) {
    Options options;
    options.plan.bounds.value = {1, 1, 9};
    options.actual.value = {1, 1, 7};
    options.plan.tile_rows = 0;
    const auto whole = run(record(inside), options);
    options.plan.tile_rows = 2;
    Plan plan;
    expect_near(run(record(inside), options, &plan), whole, "tiles");
    EXPECT_EQ(plan.tiled_begin == plan.tiled_end, inside);
  }
}

// x + v g: made again where the backward pass keeps x and v anyway, kept where v is not.
TEST(Plan, SumsOfWhatIsKeptAreMadeAgain) {
  for (const bool kept : {true, false}) {
    Graph graph;
    Recorder r(graph);
    r.at("layer", 0);
    const ValueId in = r.leaf(Role::kWeight, 0, GRAFT_F64, {3, 4}, "in");
    const ValueId w = r.leaf(Role::kWeight, 1, GRAFT_F64, {4, 4}, "w");
    const ValueId x = r.matmul(in, w), v = r.matmul(x, w);
    const ValueId sum = r.add(x, r.mul(v, r.leaf(Role::kWeight, 2, GRAFT_F64, {4}, "g")));
    const std::size_t forward = graph.nodes.size();
    for (const ValueId read : {sum, x, kept ? v : in}) r.matmul(read, w);
    for (std::size_t i = forward; i < graph.nodes.size(); ++i) {
      graph.nodes[i].direction = Direction::kBackward;
    }
    recompute(graph, Recompute::kLean);
    const auto again = std::count_if(graph.nodes.begin(), graph.nodes.end(), [](const Node& node) {
      return node.direction == Direction::kBackward && node.op->name == "add";
    });
    EXPECT_EQ(again, kept ? 1 : 0);
  }
}

TEST(Plan, RunsWithNothingSupervised) {
  const Recording record = [](Recorder& r) -> std::vector<ValueId> {
    const ValueId at = r.input("at", GRAFT_I32, {Symbol::kSupervised});
    const ValueId x = r.one("gather", {r.leaf(Role::kWeight, 0, GRAFT_F64, {3, 4}, "table"), at});
    return {r.reduce_to(x, {1, 4})};
  };
  for (const std::int64_t tile : {0, 2}) {
    Options options;
    options.plan.bounds.value = {1, 1, 9};
    options.plan.tile_rows = tile;
    EXPECT_EQ(run(record, options)[0], std::vector<double>(4, 0.0));
  }
}

TEST(Plan, RefusesARunBeyondItsBounds) {
  Options options;
  options.plan.bounds.value = {4, 1, 4};
  options.actual.value = {5, 1, 1};
  const Recording record = [](Recorder& r) -> std::vector<ValueId> {
    return {r.one("gather", {r.leaf(Role::kWeight, 0, GRAFT_F64, {3, 4}, "table"),
                             r.input("ids", GRAFT_I32, {Symbol::kRows})})};
  };
  EXPECT_ERROR(run(record, options),
               "a run with 5 rows was asked for, but the plan holds at most 4");
}

TEST(Plan, CountsWhatWasRecorded) {
  Graph graph;
  Recorder r(graph);
  const ValueId w = parameter(r, 0, {4, 4});
  const ValueId frozen = r.leaf(Role::kWeight, 0, GRAFT_F64, {4, 4}, "frozen");
  const ValueId below = r.matmul(frozen, frozen);  // no trainable part below: no backward
  const ValueId loss = sum_all(r, r.matmul(r.act(below, GRAFT_ACT_TANH), w));
  graph.results = {loss};
  differentiate(r, loss);
  // forward: two products, act, sum, reshape; backward: fill, reshape, expand, one product.
  const Plan plan = make_plan(r, ref_device(), {});
  EXPECT_EQ(plan.forward_ops, 5);
  EXPECT_EQ(plan.backward_ops, 4);
}

}  // namespace
}  // namespace graft::core
