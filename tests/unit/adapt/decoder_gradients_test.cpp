// A whole decoder with LoRA attached, in f64 on the reference backend: gradients of everything that
// is trained against central differences, and what is recorded for them.
#include <gtest/gtest.h>

#include <map>

#include "core/graph/differentiate.hpp"
#include "core/model/model.hpp"
#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/graph/ref_device.hpp"
#include "tests/unit/model/tiny_model.hpp"

namespace graft::core {
namespace {

using test::lora_entry;
using test::tiny_config;
using test::TinyModel;

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
             test::tensors_of(decoder_tensors(tiny.config())), Log{}) {
    model_.load(1);
    Graph graph;
    Recorder r(graph);
    AdapterRecording attached(set_, r, options.dtype, true,
                              std::vector<bool>(set_.entries().size(), true));
    const WeightLookup weights = attached.lookup(model_.lookup());
    const SiteRunner runner = attached.runner();
    const DecoderMode mode{options.dtype, 0};
    const DecoderRecording decoder{model_.config(), mode, weights, runner};
    const ValueId rows = r.input("supervised_rows", GRAFT_I32, {Symbol::kSupervised});
    const ValueId logits = decoder.logits(r, decoder.hidden(r), rows);
    r.at("loss", -1);
    const ValueId labels = r.input("labels", GRAFT_I32, {Symbol::kSupervised});
    loss_ = r.sum(r.record("cross_entropy", {logits, labels}).at(0), 0, true);
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
        const std::vector<float> base = model_.values(p.base);
        std::copy(base.begin(), base.end(), v.begin());
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
    set("ids", text.ids);
    set("positions", text.positions);
    set("cu_q", text.cu_q);
    set("k_begin", text.k_begin);
    set("k_len", text.k_len);
    set("supervised_rows", text.supervised_rows);
    set("labels", text.labels);
    std::vector<std::int32_t> keys;
    for (std::size_t i = 0; i < text.ids.size(); ++i) {
      keys.insert(keys.end(), {i < 5 ? 0 : 1, text.positions[i]});
    }
    set("row_keys", keys);
    set("supervised_keys", {0, 0, 0, 1, 0, 3, 1, 0, 1, 1});
    set("seed", {3, 4});
    const auto& inv_freq = model_.config().rope.inv_freq;
    program_->set_input("inv_freq", inv_freq.data(), inv_freq.size() * sizeof(float));
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
void expect_right_gradients(Step& step) {
  step.loss();
  const auto analytic = step.gradients;
  for (std::size_t i = 0; i < step.values.size(); ++i) {
    const std::string& name = step.parameters()[i].name;
    const std::size_t n = step.values[i].size(), stride = std::max<std::size_t>(1, n / 5);
    double largest = 0;
    for (const double g : analytic[i]) largest = std::max(largest, std::abs(g));
    EXPECT_GT(largest, 1e-6) << name << " has no gradient";
    for (std::size_t k = 0; k < n; k += stride) {
      const double h = 1e-5, before = step.values[i][k];
      step.values[i][k] = before + h;
      const double above = step.loss();
      step.values[i][k] = before - h;
      const double below = step.loss();
      step.values[i][k] = before;
      const double numeric = (above - below) / (2 * h);
      EXPECT_NEAR(analytic[i][k], numeric, 1e-6 * std::max(1.0, std::abs(numeric)))
          << name << " [" << k << "]";
    }
  }
}

std::vector<MethodEntry> everywhere() {
  return {lora_entry({{"targets",
                       {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
                        "embed_tokens", "lm_head"}},
                      {"modules_to_save", {"post_attention_layernorm", "q_norm"}}},
                     {{"rank", 2}, {"alpha", 3}, {"rank_pattern", {{"v_proj", 3}}}}),
          lora_entry({{"targets", {"v_proj", "down_proj"}}, {"layers", 0}},
                     {{"rank", 1}, {"alpha", 2}, {"rslora", true}, {"dropout", 0.3}})};
}

TEST(DecoderGradients, MatchCentralDifferencesUnderEveryPolicy) {
  const TinyModel tiny;
  std::vector<std::vector<double>> first;
  for (const Recompute recompute : {Recompute::kNothing, Recompute::kLean, Recompute::kBlock}) {
    StepOptions options;
    options.recompute = recompute;
    Step step(tiny, everywhere(), options);
    EXPECT_TRUE(step.tiled);
    if (first.empty()) {
      expect_right_gradients(step);
      step.loss();
      first = step.gradients;
    }
    step.loss();
    for (std::size_t i = 0; i < first.size(); ++i) {
      for (std::size_t k = 0; k < first[i].size(); ++k) {
        EXPECT_DOUBLE_EQ(step.gradients[i][k], first[i][k]) << step.parameters()[i].name;
      }
    }
  }
}

TEST(DecoderGradients, MatchWithFullyTrainedModules) {
  const TinyModel tiny;
  Step step(tiny, {lora_entry({{"targets", {"o_proj"}},
                               {"modules_to_save",
                                {"embed_tokens", "lm_head", "model.norm", "q_proj", "up_proj",
                                 "input_layernorm"}}},
                              {{"rank", 2}, {"alpha", 3}})});
  expect_right_gradients(step);
}

TEST(DecoderGradients, TiedHeadsAddUpInTheEmbedding) {
  const TinyModel tiny(tiny_config(1, {{"tie_word_embeddings", true}}));
  Step step(tiny,
            {lora_entry({{"targets", {"lm_head", "embed_tokens"}}}, {{"rank", 2}, {"alpha", 3}})});
  expect_right_gradients(step);
}

TEST(DecoderGradients, DoNotDependOnTheTiling) {
  const TinyModel tiny;
  std::vector<std::vector<double>> whole;
  double loss = 0;
  for (const std::int64_t rows : {0, 1, 2, 3, 5, 7, 64}) {
    StepOptions options;
    options.tile_rows = rows;
    Step step(tiny, everywhere(), options);
    const double now = step.loss();
    if (whole.empty()) {
      whole = step.gradients;
      loss = now;
      EXPECT_FALSE(step.tiled);
      continue;
    }
    EXPECT_TRUE(step.tiled);
    EXPECT_NEAR(now, loss, 1e-12);
    for (std::size_t i = 0; i < whole.size(); ++i) {
      for (std::size_t k = 0; k < whole[i].size(); ++k) {
        EXPECT_NEAR(step.gradients[i][k], whole[i][k], 1e-12)
            << step.parameters()[i].name << " with tiles of " << rows;
      }
    }
  }
}

TEST(DecoderGradients, OnlyTrainedTensorsHaveThem) {
  const TinyModel tiny;
  Step step(tiny, everywhere());
  std::vector<std::string> trained;
  for (const Parameter& p : step.parameters()) trained.push_back(p.name);
  std::sort(trained.begin(), trained.end());
  std::sort(step.with_gradient.begin(), step.with_gradient.end());
  EXPECT_EQ(step.with_gradient, trained);
}

}  // namespace
}  // namespace graft::core
