// A whole decoder with methods attached, in f64 on the reference backend: loss and gradients of
// everything that is trained.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "core/adapt/virtual_tokens.hpp"
#include "core/graph/differentiate.hpp"
#include "core/model/model.hpp"
#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/graph/central_difference.hpp"
#include "tests/unit/graph/ref_device.hpp"
#include "tests/unit/model/tiny_model.hpp"

namespace graft::core::test {

/// Two documents of 5 and 3 rows; the rows with labels are not all of them.
struct Text {
  std::vector<std::int32_t> ids = {3, 1, 4, 1, 5, 9, 2, 6}, positions = {0, 1, 2, 3, 4, 0, 1, 2};
  std::vector<std::int32_t> cu_q = {0, 5, 8}, k_begin = {0, 5}, k_len = {5, 3};
  std::vector<std::int32_t> supervised_rows = {0, 1, 3, 5, 6}, labels = {1, 4, 5, 2, 6};
};

struct StepOptions {
  Recompute recompute = Recompute::kNothing;
  std::int64_t tile_rows = 2;
  std::uint32_t dtype = GRAFT_F64;
};

/// Loss and gradients of a model with methods, parameters at values that are all different.
class Step {
 public:
  Step(const TinyModel& tiny, std::vector<MethodEntry> entries, StepOptions options = {})
      : model_(Model::open(tiny.folder(), ref_device(), options.dtype)),
        set_(decoder_sites(tiny.config()), std::move(entries),
             tensors_of(decoder_tensors(tiny.config())), Log{}) {
    model_.load(1);
    Graph graph;
    Recorder r(graph);
    AdapterRecording attached(set_, r, options.dtype, true,
                              std::vector<bool>(set_.entries().size(), true));
    const WeightLookup weights = attached.lookup(model_.lookup());
    const SiteRunner runner = attached.runner();
    const ValueId terms = attached.loss_terms();
    const DecoderMode mode{options.dtype, 0};
    const DecoderRecording decoder{model_.config(), mode, weights, runner};
    const ValueId rows = r.input("supervised_rows", GRAFT_I32, {Symbol::kSupervised});
    const ValueId logits = decoder.logits(r, decoder.hidden(r), rows);
    r.at("loss", -1);
    const ValueId labels = r.input("labels", GRAFT_I32, {Symbol::kSupervised});
    loss_ = r.sum(r.record("cross_entropy", {logits, labels}).at(0), 0, true);
    if (terms != kNone) loss_ = r.add(loss_, terms);
    graph.results = {loss_};
    for (const auto& [leaf, gradient] : differentiate(r, loss_)) {
      const Value p = graph[leaf];
      EXPECT_EQ(p.role, Role::kParameter) << p.name << " is frozen, but has a gradient";
      with_gradient.push_back(p.name);
      const ValueId target = r.leaf(Role::kBuffer, p.slot, GRAFT_F64, p.shape, "gradient");
      r.direction(Direction::kBackward);
      r.assign(gradient, target, true);
    }
    PlanOptions plan_options;
    plan_options.bounds[Symbol::kRows] = 11;  // more than there are
    plan_options.bounds[Symbol::kSequences] = 3;
    plan_options.bounds[Symbol::kSupervised] = 9;
    plan_options.recompute = options.recompute;
    plan_options.tile_rows = options.tile_rows;
    Plan plan = make_plan(r, ref_device(), plan_options);
    arena_bytes = plan.arena_bytes;
    forward_ops = plan.forward_ops;
    backward_ops = plan.backward_ops;
    tiled = plan.tiled_begin < plan.tiled_end;
    auto scratch = std::make_shared<Scratch>();
    scratch->require(plan);
    scratch->allocate(ref_device());
    program_ = std::make_unique<Program>(std::move(plan), ref_device(), scratch);
    model_.bind(*program_);
    fill_parameters();
    set_inputs();
  }

  double loss() {
    for (auto& g : gradients) std::fill(g.begin(), g.end(), 0.0);
    Bindings b;
    b[Symbol::kRows] = 8;
    b[Symbol::kSequences] = 2;
    b[Symbol::kSupervised] = 5;
    program_->run(b);
    double value = 0;
    program_->read(loss_, &value);
    return value;
  }

  const std::vector<Parameter>& parameters() const { return set_.parameters(); }

  std::vector<std::vector<double>> values, gradients;  // by parameter
  std::vector<std::string> with_gradient;
  std::uint64_t arena_bytes = 0;
  std::int64_t forward_ops = 0, backward_ops = 0;
  bool tiled = false;

 private:
  void fill_parameters() {
    std::mt19937 generator(5);
    std::uniform_real_distribution<double> uniform(-0.5, 0.5);
    for (std::size_t i = 0; i < parameters().size(); ++i) {
      const Parameter& p = parameters()[i];
      std::vector<double>& v = values.emplace_back(static_cast<std::size_t>(p.count()));
      gradients.emplace_back(v.size(), 0.0);
      if (p.base.empty()) {
        for (double& x : v) x = uniform(generator);
      } else {
        const std::vector<float> base =
            initial_values(p, 5, [&](const std::string& name) { return model_.values(name); });
        std::copy(base.begin(), base.end(), v.begin());
        if (p.trained()) {
          for (double& x : v) x *= 1 + 0.2 * uniform(generator);
        }
      }
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto slot = static_cast<std::int32_t>(i);
      program_->bind(Role::kParameter, slot, values[i].data());
      program_->bind(Role::kBuffer, slot, gradients[i].data());
    }
  }

  void set_inputs() {
    const Text text;
    const auto set = [&](const char* name, const std::vector<std::int32_t>& v) {
      program_->set_input(name, v.data(), v.size() * sizeof(std::int32_t));
    };
    const auto prompt = static_cast<std::int32_t>(set_.virtual_tokens().prompt);
    const auto prefix = static_cast<std::int32_t>(set_.virtual_tokens().prefix);
    std::vector<std::int32_t> positions, cu_q = {0}, k_begin, k_len, keys, rows, supervised_keys;
    for (std::int32_t j = 0; j < 2; ++j) {
      k_begin.push_back(cu_q.back() + j * prefix);
      k_len.push_back(text.k_len[static_cast<std::size_t>(j)] + prompt + prefix);
      const std::int32_t n = text.k_len[static_cast<std::size_t>(j)] + prompt;
      cu_q.push_back(cu_q.back() + n);
      for (std::int32_t i = 0; i < n; ++i) {
        positions.push_back(prefix + i);
        keys.insert(keys.end(), {j, i});
      }
    }
    for (const std::int32_t row : text.supervised_rows) {
      const std::int32_t moved = row + prompt * (row < 5 ? 1 : 2);
      rows.push_back(moved);
      supervised_keys.insert(supervised_keys.end(),
                             {row < 5 ? 0 : 1, moved - (row < 5 ? 0 : cu_q[1])});
    }
    set("ids", text.ids);
    set("positions", positions);
    set("cu_q", cu_q);
    set("k_begin", k_begin);
    set("k_len", k_len);
    set("supervised_rows", rows);
    set("labels", text.labels);
    set("row_keys", keys);
    set("supervised_keys", supervised_keys);
    set("seed", {3, 4});
    set_prepend_inputs(*program_, text.cu_q);
    set_rope_inputs(*program_, model_.config());
    for (std::size_t e = 0; e < set_.entries().size(); ++e) {
      program_->set_scalar(cat("strength.", e), 0.7 + 0.6 * static_cast<double>(e));
    }
  }

  Model model_;
  AdapterSet set_;
  ValueId loss_ = kNone;
  std::unique_ptr<Program> program_;
};

/// Largest distance of a gradient from central differences over a few elements of each parameter,
/// against the gradient's own size.
/// Only parameters whose names hold `part` are looked at.
inline void expect_right_gradients(Step& step, const std::string& part = "") {
  step.loss();
  const auto analytic = step.gradients;
  for (std::size_t i = 0; i < step.values.size(); ++i) {
    const std::string& name = step.parameters()[i].name;
    if (!step.parameters()[i].trained() || name.find(part) == std::string::npos) continue;
    const std::size_t n = step.values[i].size(), stride = std::max<std::size_t>(1, n / 5);
    double largest = 0;
    for (const double g : analytic[i]) largest = std::max(largest, std::abs(g));
    EXPECT_GT(largest, 1e-6) << name << " has no gradient";
    for (std::size_t k = 0; k < n; k += stride) {
      const double numeric = central_difference(step.values[i][k], [&] { return step.loss(); });
      EXPECT_NEAR(analytic[i][k], numeric, 1e-6 * std::max(1.0, std::abs(numeric)))
          << name << " [" << k << "]";
    }
  }
}

}  // namespace graft::core::test
