// Steps of training over a tiny decoder on the reference backend.
#include "core/train/trainer.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "core/train/plan_report.hpp"
#include "core/train/session_parts.hpp"
#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/graph/ref_device.hpp"
#include "tests/unit/model/tiny_model.hpp"
#include "tests/unit/train/batches.hpp"
#include "tests/unit/train/flat_states.hpp"

namespace graft::core {
namespace {

using test::batch_of;
using test::lora_entry;
using test::step_of;
using test::TinyModel;

struct Settings {
  std::string optimizer = "sgd";
  double dropout = 0;
  std::uint32_t dtype = GRAFT_F32;
  TrainerOptions options;
  Bounds bounds = {64, 12, 48, 8};
  Json modules_to_save = Json::array();

  Settings() {
    options.seed = 11;
    options.lr = 1;
    options.recompute = RecomputeChoice::kLean;
  }
};

class Training {
 public:
  Training(const TinyModel& tiny, const Settings& settings)
      : adapters_(decoder_sites(tiny.config()),
                  {lora_entry({{"targets", {"q_proj", "v_proj", "down_proj", "lm_head"}},
                               {"modules_to_save", settings.modules_to_save}},
                              {{"rank", 2}, {"alpha", 3}, {"dropout", settings.dropout}})},
                  base_tensors(tiny.config()), Log{}) {
    const graft_optimizer_api& api = test::built_plugins().optimizer(settings.optimizer);
    const Json options = validate(Json::object(), parse_json(api.config_schema, "o"), "o");
    trainer_ = std::make_unique<Trainer>(
        ref_device(), Model::open(tiny.folder(), ref_device(), settings.dtype),
        std::vector<TrainerRun>{
            {&adapters_, api, options, settings.options, settings.bounds, settings.bounds}},
        Log{});
  }

  /// Starts, with B of every pair unequal to 0, so that A has a gradient.
  Training& start() {
    trainer_->start(1);
    for (std::size_t i = 0; i < adapters_.parameters().size(); ++i) {
      if (!adapters_.parameters()[i].base.empty()) continue;
      std::vector<float> v = trainer_->get(0, i);
      for (std::size_t k = 0; k < v.size(); ++k) v[k] += 0.1f * std::sin(static_cast<float>(i + k));
      trainer_->set(0, i, v);
    }
    trainer_->refresh(0);
    return *this;
  }

  StepMetrics step(std::int64_t index, const std::vector<std::vector<std::int64_t>>& micro) {
    std::vector<Batch> batches;
    for (const auto& m : micro) batches.push_back(batch_of(m));
    return step_of(*trainer_, index, batches);
  }
  double evaluate(const std::vector<std::int64_t>& draws) {
    double sum = 0;
    std::int64_t n = 0;
    trainer_->evaluate(0, batch_of(draws), sum, n);
    return sum / static_cast<double>(n);
  }
  std::vector<std::vector<float>> values() const {
    std::vector<std::vector<float>> all;
    for (std::size_t i = 0; i < adapters_.parameters().size(); ++i) {
      all.push_back(trainer_->get(0, i));
    }
    return all;
  }

  Trainer& trainer() { return *trainer_; }
  const AdapterSet& adapters() const { return adapters_; }

 private:
  AdapterSet adapters_;
  std::unique_ptr<Trainer> trainer_;
};

/// Largest difference between two sets of values.
double difference(const std::vector<std::vector<float>>& a,
                  const std::vector<std::vector<float>>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t k = 0; k < a[i].size(); ++k) {
      most = std::max(most, static_cast<double>(std::abs(a[i][k] - b[i][k])));
    }
  }
  return most;
}

// With SGD at a learning rate of 1 the change of the parameters is the gradient.
TEST(Trainer, AStepDoesNotDependOnItsSplitIntoMicroSteps) {
  const TinyModel tiny;
  for (const double dropout : {0.0, 0.4}) {
    Settings settings;
    settings.dropout = dropout;
    settings.modules_to_save = {"model.norm", "embed_tokens"};
    std::vector<std::vector<std::vector<std::int64_t>>> splits = {{{0, 1, 2, 3, 4, 5}},
                                                                  {{0}, {1}, {2}, {3}, {4}, {5}},
                                                                  {{0, 1, 2, 3}, {4, 5}},
                                                                  {{5, 3}, {1, 0, 2}, {4}}};
    std::vector<std::vector<float>> first;
    StepMetrics whole;
    for (const auto& split : splits) {
      Training t(tiny, settings);
      const auto before = t.start().values();
      const StepMetrics m = t.step(1, split);
      const auto after = t.values();
      if (first.empty()) {
        first = after;
        whole = m;
        EXPECT_GT(difference(before, after), 1e-2);
      }
      EXPECT_LT(difference(first, after), 1e-6) << split.size() << " micro-steps";
      EXPECT_NEAR(m.loss, whole.loss, 1e-6);
      EXPECT_NEAR(m.grad_norm, whole.grad_norm, 1e-6);
      EXPECT_EQ(m.tokens, whole.tokens);
      EXPECT_EQ(m.supervised, whole.supervised);
    }
  }
}

TEST(Trainer, DropoutFollowsTheSeedAndThePlaceInTheRun) {
  const TinyModel tiny;
  Settings settings;
  settings.dropout = 0.4;
  const auto loss = [&](const std::vector<std::int64_t>& draws) {
    Training t(tiny, settings);
    Batch b = batch_of({0, 1});
    b.draws = draws;
    t.start();
    return step_of(t.trainer(), 1, {b}).loss;
  };
  const double first = loss({0, 1});
  EXPECT_EQ(loss({0, 1}), first);
  EXPECT_NE(loss({7, 8}), first);  // the same examples drawn again later
  settings.options.seed = 12;
  EXPECT_NE(loss({0, 1}), first);
}

TEST(Trainer, StateIsEverythingThatAStepChanges) {
  const TinyModel tiny;
  Settings settings;
  settings.optimizer = "adamw";
  settings.options.lr = 0.05;
  settings.options.clip = 0.3;
  settings.options.schedule = {"cosine", 1, 6};
  settings.dropout = 0.2;
  Training a(tiny, settings);
  a.start();
  for (std::int64_t k = 1; k <= 2; ++k) a.step(k, {{k, k + 1}, {k + 2}});
  const auto state = test::values_of(a.trainer().state(0));
  Training b(tiny, settings);
  b.trainer().start(1);
  b.trainer().set_state(0, test::stored(state));
  EXPECT_EQ(test::values_of(b.trainer().state(0)), state);
  for (std::int64_t k = 3; k <= 4; ++k) {
    const StepMetrics x = a.step(k, {{k, k + 1}, {k + 2}}), y = b.step(k, {{k, k + 1}, {k + 2}});
    EXPECT_EQ(x.loss, y.loss);
    EXPECT_EQ(x.grad_norm, y.grad_norm);
    EXPECT_EQ(x.lr, y.lr);
  }
  EXPECT_EQ(a.values(), b.values());
  EXPECT_EQ(test::values_of(a.trainer().state(0)), test::values_of(b.trainer().state(0)));
  auto cut = state;
  cut.back().pop_back();
  EXPECT_ERROR(b.trainer().set_state(0, test::stored(cut)), "another set of parameters");
  cut.pop_back();
  EXPECT_ERROR(b.trainer().set_state(0, test::stored(cut)), "keeps 2: it is of another optimizer");
  auto codes = test::stored(state);
  codes.back().dtype = GRAFT_U8;
  EXPECT_ERROR(b.trainer().set_state(0, codes), "state 1 of it are u8");
}

TEST(Trainer, StatesInAFileChangeNothing) {
  const TinyModel tiny;
  const test::TemporaryFolder folder;
  Settings settings;
  settings.optimizer = "adamw";
  settings.options.lr = 0.05;
  Training a(tiny, settings);
  settings.options.resident_states = 1;
  settings.options.page_folder = folder.path();
  Training b(tiny, settings), c(tiny, settings);
  a.start();
  b.start();
  for (std::int64_t k = 1; k <= 2; ++k) {
    EXPECT_EQ(a.step(k, {{k, k + 1}}).grad_norm, b.step(k, {{k, k + 1}}).grad_norm);
  }
  EXPECT_EQ(a.values(), b.values());
  const auto state = test::values_of(a.trainer().state(0));
  EXPECT_EQ(test::values_of(b.trainer().state(0)), state);
  int read = 0;
  c.trainer().start(1);
  c.trainer().set_state(0, test::stored(state), [&] { ++read; });
  EXPECT_EQ(read, 3);  // master values, m and v, each in one piece
  EXPECT_EQ(test::values_of(c.trainer().state(0)), state);
  EXPECT_EQ(a.step(3, {{3, 4}}).loss, c.step(3, {{3, 4}}).loss);
  EXPECT_EQ(a.values(), c.values());
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_EQ(a.trainer().cost().paged, 0u);
  EXPECT_EQ(b.trainer().cost().paged, (state[1].size() + state[2].size()) * sizeof(float));
  EXPECT_LE(b.trainer().cost().optimizer, a.trainer().cost().optimizer);
}

TEST(Trainer, TheFirstStepOfAWarmUpChangesNothing) {
  const TinyModel tiny;
  Settings settings;
  settings.optimizer = "adamw";
  settings.options.schedule = {"linear", 3, 9};
  Training t(tiny, settings);
  const auto before = t.start().values();
  EXPECT_EQ(t.step(1, {{0, 1}}).lr, 0.0);
  EXPECT_EQ(difference(before, t.values()), 0.0);
  EXPECT_NEAR(t.step(2, {{0, 1}}).lr, 1.0 / 3, 1e-15);
  EXPECT_GT(difference(before, t.values()), 0.0);
}

TEST(Trainer, TenBatchesRunOnOneRecording) {
  const TinyModel tiny;
  Settings settings;
  settings.optimizer = "adamw";
  settings.options.lr = 1e-3;
  Training t(tiny, settings);
  t.start();
  for (std::int64_t k = 1; k <= 10; ++k) {
    std::vector<std::int64_t> draws;
    for (std::int64_t i = 0; i < k; ++i) draws.push_back(k + 2 * i);
    EXPECT_TRUE(std::isfinite(t.step(k, {draws}).loss)) << k;
  }
  EXPECT_EQ(t.trainer().recordings(), 1);
}

TEST(Trainer, AnExamplesLossDoesNotDependOnItsNeighbours) {
  const TinyModel tiny;
  Training t(tiny, Settings());
  t.start();
  double alone = 0;
  std::int64_t n = 0;
  for (const std::int64_t draw : {0, 1, 2, 3}) t.trainer().evaluate(0, batch_of({draw}), alone, n);
  EXPECT_NEAR(t.evaluate({0, 1, 2, 3}), alone / static_cast<double>(n), 1e-6);
  EXPECT_NEAR(t.evaluate({3, 1, 0, 2}), alone / static_cast<double>(n), 1e-6);
}

TEST(Trainer, EvaluatesWithoutDropoutAndWithStrength) {
  const TinyModel tiny;
  Settings settings;
  const double plain = Training(tiny, settings).start().evaluate({0, 1});
  settings.dropout = 0.5;
  Training t(tiny, settings);
  EXPECT_EQ(t.start().evaluate({0, 1}), plain);
  t.trainer().strength(0, 0.0);
  const double base = t.evaluate({0, 1});
  EXPECT_NE(base, plain);
  t.trainer().strength(0, 1.0);
  EXPECT_EQ(t.evaluate({0, 1}), plain);
}

TEST(Trainer, LearnsInBf16AsInF32) {
  const TinyModel tiny;
  std::vector<double> losses;
  for (const std::uint32_t dtype : {GRAFT_F32, GRAFT_BF16}) {
    Settings settings;
    settings.optimizer = "adamw";
    settings.options.lr = 0.02;
    settings.dtype = dtype;
    settings.modules_to_save = {"model.norm"};
    Training t(tiny, settings);
    t.start();
    const double first = t.step(1, {{0, 1, 2}}).loss;
    for (std::int64_t k = 2; k <= 12; ++k) t.step(k, {{0, 1, 2}});
    losses.push_back(first);
    losses.push_back(t.evaluate({0, 1, 2}));
    EXPECT_LT(losses.back(), first - 0.2);
  }
  EXPECT_NEAR(losses[0], losses[2], 0.02);
  EXPECT_NEAR(losses[1], losses[3], 0.1);
}

TEST(Trainer, CostsAddUpAndAreKnownBeforeTheStart) {
  const TinyModel tiny;
  Settings settings;
  settings.optimizer = "adamw";
  Training t(tiny, settings);
  const Cost& c = t.trainer().cost();
  std::int64_t trained = 0;
  for (const Parameter& p : t.adapters().parameters()) trained += (p.count() + 15) / 16 * 16;
  EXPECT_EQ(c.gradients, static_cast<std::uint64_t>(trained) * 4);
  EXPECT_EQ(c.optimizer, static_cast<std::uint64_t>(trained) * 4 * 3);
  EXPECT_EQ(c.total(), c.process + c.weights + c.prepared + c.activations + c.gradients +
                           c.optimizer + c.workspace);
  EXPECT_GT(c.activations, 0u);
  const Json json = plan_json(c);
  std::uint64_t sum = 0;
  for (const char* key : {"process_bytes", "weights_bytes", "prepared_bytes", "activations_bytes",
                          "gradients_bytes", "optimizer_bytes", "workspace_bytes"}) {
    sum += json.at(key).get<std::uint64_t>();
  }
  EXPECT_EQ(json.at("total_bytes"), sum);
  settings.dtype = GRAFT_BF16;  // copies of the parameters in the compute dtype
  Training narrow(tiny, settings);
  EXPECT_EQ(narrow.trainer().cost().optimizer, static_cast<std::uint64_t>(trained) * (4 * 3 + 2));
}

TEST(Trainer, CostsCountTheRowsOfAnEmbeddingThatARunCanLookUp) {
  constexpr std::int64_t vocab = 200000;
  constexpr std::uint64_t bytes = vocab * 8 * sizeof(float), around = 1 << 16;
  const auto weights = [](const TinyModel& tiny, std::int64_t micro_steps) {
    Settings settings;
    settings.bounds.rows = 6;
    settings.options.micro_steps = micro_steps;
    return Training(tiny, settings).trainer().cost().weights;
  };
  const TinyModel untied(test::tiny_config(2, {{"vocab_size", vocab}}));
  const std::uint64_t all = weights(untied, 0);
  EXPECT_GT(all, 2 * bytes);  // the head too
  EXPECT_EQ(weights(untied, 3), all - bytes + 3 * 6 * around);
  EXPECT_EQ(weights(untied, 1000), all);
  const TinyModel tied(
      test::tiny_config(2, {{"vocab_size", vocab}, {"tie_word_embeddings", true}}));
  EXPECT_EQ(weights(tied, 3), weights(tied, 0));
}

TEST(Trainer, AutoRecomputesAsLittleAsTheLimitAllows) {
  const TinyModel tiny(test::tiny_config(6));
  Settings settings;
  settings.bounds = {4096, 64, 64, 128};
  std::vector<std::uint64_t> totals;
  for (const RecomputeChoice choice :
       {RecomputeChoice::kNothing, RecomputeChoice::kLean, RecomputeChoice::kBlock}) {
    settings.options.recompute = choice;
    totals.push_back(Training(tiny, settings).trainer().cost().activations);
  }
  EXPECT_GT(totals[0], totals[1]);
  EXPECT_GT(totals[1], totals[2]);
  settings.options.recompute = RecomputeChoice::kAuto;
  const auto chosen = [&](std::uint64_t limit) {
    settings.options.memory_limit = limit;
    return Training(tiny, settings).trainer().cost().recompute;
  };
  EXPECT_EQ(chosen(std::uint64_t{1} << 40), Recompute::kNothing);
  EXPECT_EQ(chosen(0), Recompute::kLean);
}

TEST(Trainer, RefusesALimitNamingThreeHoldersBeforeAllocating) {
  const TinyModel tiny;
  Settings settings;
  settings.options.memory_limit = 1 << 20;
  settings.bounds = {std::int64_t{1} << 22, 1 << 10, 1 << 10, 1 << 20};  // 1 GiB and more
  const std::uint64_t before = peak_resident_bytes();
  EXPECT_ERROR_STATUS(Training(tiny, settings), GRAFT_E_NO_MEMORY, "train.memory_limit is 1");
  EXPECT_ERROR_STATUS(Training(tiny, settings), GRAFT_E_NO_MEMORY, "Largest: ");
  EXPECT_ERROR_STATUS(Training(tiny, settings), GRAFT_E_NO_MEMORY, "train.recompute");
  EXPECT_LT(peak_resident_bytes(), before + (std::uint64_t{256} << 20));
  try {
    Training refused(tiny, settings);
  } catch (const Error& e) {
    const std::string text = e.what();
    const std::string holders = text.substr(text.find("Largest: "));
    EXPECT_EQ(std::count(holders.begin(), holders.end(), '('), 3) << text;
  }
}

TEST(Trainer, StopsAtALossThatIsNoNumber) {
  const TinyModel tiny;
  Training t(tiny, Settings());
  t.start();
  std::vector<float> v = t.trainer().get(0, 0);
  v[0] = std::nanf("");
  t.trainer().set(0, 0, v);
  t.trainer().refresh(0);
  EXPECT_ERROR_STATUS(t.step(3, {{0, 1}}), GRAFT_E_DIVERGED, "step 3");
}

}  // namespace
}  // namespace graft::core
