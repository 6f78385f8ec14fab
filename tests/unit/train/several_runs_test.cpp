// Several runs on one pass through a base: each is what it is alone.
#include <gtest/gtest.h>

#include <cmath>

#include "core/adapt/row_groups.hpp"
#include "core/train/session_parts.hpp"
#include "core/train/trainer.hpp"
#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/graph/ref_device.hpp"
#include "tests/unit/model/tiny_model.hpp"
#include "tests/unit/train/batches.hpp"

namespace graft::core {
namespace {

using test::batch_of;
using test::entry_of;
using test::TinyModel;

/// Draws of the micro-steps of one step.
using Micro = std::vector<std::vector<std::int64_t>>;

/// A run in f64 with plain SGD, two steps of it.
struct Planned {
  std::vector<MethodEntry> entries;
  std::vector<Micro> steps;
  std::uint64_t seed = 3;
  double clip = 0;
};

struct Outcome {
  std::vector<StepMetrics> steps;
  double eval_loss = 0;
  std::vector<std::vector<float>> values;
};

class Runs {
 public:
  Runs(const TinyModel& tiny, const std::vector<Planned>& runs, RecomputeChoice recompute)
      : runs_(runs) {
    std::vector<TrainerRun> parts;
    for (const Planned& run : runs) {
      sets_.push_back(std::make_unique<AdapterSet>(decoder_sites(tiny.config()), run.entries,
                                                   base_tensors(tiny.config()), Log{}));
      TrainerRun part;
      part.adapters = sets_.back().get();
      part.optimizer = test::built_plugins().optimizer("sgd");
      part.optimizer_options =
          validate(Json::object(), parse_json(part.optimizer.config_schema, "o"), "o");
      part.options.seed = run.seed;
      part.options.lr = 0.02;
      part.options.clip = run.clip;
      part.options.recompute = recompute;
      part.train = part.eval = {64, 12, 48, 8};
      parts.push_back(std::move(part));
    }
    trainer_ = std::make_unique<Trainer>(
        ref_device(), Model::open(tiny.folder(), ref_device(), GRAFT_F64), std::move(parts), Log{});
    trainer_->start(1);
    for (std::size_t k = 0; k < runs.size(); ++k) {
      for (std::size_t i = 0; i < sets_[k]->parameters().size(); ++i) {
        if (!sets_[k]->parameters()[i].trained()) continue;
        std::vector<float> v = trainer_->get(k, i);
        for (std::size_t j = 0; j < v.size(); ++j)
          v[j] += 0.1f * std::sin(static_cast<float>(i + j));
        trainer_->set(k, i, v);
      }
      trainer_->refresh(k);
    }
  }

  /// Every run takes part in each pass until its steps are done.
  std::vector<Outcome> outcomes() {
    struct Place {
      std::size_t step = 0, micro = 0;
    };
    std::vector<Place> at(runs_.size());
    std::vector<Outcome> result(runs_.size());
    for (bool going = true; going;) {
      going = false;
      std::vector<Share> shares(runs_.size());
      for (std::size_t k = 0; k < runs_.size(); ++k) {
        if (at[k].step == runs_[k].steps.size()) continue;
        going = true;
        const Micro& step = runs_[k].steps[at[k].step];
        if (at[k].micro == 0) trainer_->begin(k);
        std::int64_t supervised = 0;
        for (const auto& draws : step) supervised += batch_of(draws).supervised;
        shares[k] = {batch_of(step[at[k].micro++]), supervised, step.size()};
      }
      if (!going) break;
      trainer_->pass(shares);
      for (std::size_t k = 0; k < runs_.size(); ++k) {
        if (shares[k].batch.rows() == 0 || at[k].micro < runs_[k].steps[at[k].step].size())
          continue;
        const auto index = static_cast<std::int64_t>(at[k].step + 1);
        result[k].steps.push_back(trainer_->finish(k, index));
        at[k] = {at[k].step + 1, 0};
      }
    }
    for (std::size_t k = 0; k < runs_.size(); ++k) {
      std::int64_t n = 0;
      trainer_->evaluate(k, batch_of({1, 4, 6}), result[k].eval_loss, n);
      for (std::size_t i = 0; i < sets_[k]->parameters().size(); ++i) {
        result[k].values.push_back(trainer_->get(k, i));
      }
    }
    return result;
  }

 private:
  std::vector<Planned> runs_;
  std::vector<std::unique_ptr<AdapterSet>> sets_;
  std::unique_ptr<Trainer> trainer_;
};

void expect_as_alone(const std::vector<Planned>& runs, RecomputeChoice recompute) {
  const TinyModel tiny;
  const std::vector<Outcome> together = Runs(tiny, runs, recompute).outcomes();
  for (std::size_t k = 0; k < runs.size(); ++k) {
    SCOPED_TRACE(cat("run ", k, " (", runs[k].entries[0].name, ")"));
    const Outcome alone = Runs(tiny, {runs[k]}, recompute).outcomes()[0];
    ASSERT_EQ(together[k].steps.size(), alone.steps.size());
    for (std::size_t i = 0; i < alone.steps.size(); ++i) {
      const StepMetrics &a = together[k].steps[i], &b = alone.steps[i];
      EXPECT_NEAR(a.loss, b.loss, 1e-12);
      EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-12 * std::max(1.0, b.grad_norm));
      EXPECT_GT(b.grad_norm, 1e-6);
      EXPECT_EQ(a.tokens, b.tokens);
      EXPECT_EQ(a.supervised, b.supervised);
    }
    EXPECT_NEAR(together[k].eval_loss, alone.eval_loss, 1e-12 * alone.eval_loss);
    ASSERT_EQ(together[k].values.size(), alone.values.size());
    for (std::size_t i = 0; i < alone.values.size(); ++i) {
      for (std::size_t j = 0; j < alone.values[i].size(); ++j) {
        EXPECT_NEAR(together[k].values[i][j], alone.values[i][j], 1e-7);
      }
    }
  }
}

Json targets(std::vector<std::string> names) {
  return {{"targets", names}};
}

TEST(SeveralRuns, EachIsAsIfItWereAlone) {
  const std::vector<Planned> runs = {
      // Dropout, a step in pieces, another seed, clipping, more steps than the others.
      {{entry_of("lora", targets({"q_proj", "v_proj", "down_proj"}),
                 {{"rank", 2}, {"alpha", 3}, {"dropout", 0.3}})},
       {{{0, 1, 2}, {3}}, {{4, 5}, {6}}, {{7}}},
       11,
       0.2},
      {{entry_of("ia3", targets({"k_proj", "v_proj", "down_proj"}),
                 {{"feedforward", {"down_proj"}}})},
       {{{2, 0}}, {{5}, {1}, {3, 8}}}},
      // Two methods, one with a term in the loss; the sites of the other are not all of them.
      {{entry_of("adalora", targets({"q_proj", "up_proj"}),
                 {{"init_rank", 3}, {"target_rank", 2}, {"total_steps", 20}}),
        entry_of("adapter", Json::object(), {{"reduction", 4}, {"dropout", 0.2}})},
       {{{9, 1}, {2}}, {{3}}}}};
  for (const RecomputeChoice recompute :
       {RecomputeChoice::kNothing, RecomputeChoice::kLean, RecomputeChoice::kBlock}) {
    expect_as_alone(runs, recompute);
  }
}

TEST(SeveralRuns, OfEveryMethodThatKeepsToItsRows) {
  const std::vector<std::string> linear = {"q_proj", "v_proj", "down_proj"};
  const Planned lora = {{entry_of("lora", targets(linear), {{"rank", 2}})}, {{{1, 2}}}};
  for (const char* method :
       {"dora", "vera", "loha", "lokr", "oft", "tied_lora", "randlora", "adalora", "ia3"}) {
    Json options = Json::object();
    const Json schema = parse_json(test::built_plugins().method(method).config_schema, method);
    if (schema["properties"].contains("rank")) options["rank"] = 2;
    if (schema["properties"].contains("block_size")) options = {{"block_size", 2}};
    if (schema["properties"].contains("total_steps")) {
      options = {{"init_rank", 3}, {"target_rank", 2}, {"total_steps", 20}};
    }
    expect_as_alone({{{entry_of(method, targets(linear), options)}, {{{0}, {3, 4}}, {{6}}}}, lora},
                    RecomputeChoice::kLean);
  }
}

TEST(SeveralRuns, WhatCannotBeKeptToRowsIsRefused) {
  const TinyModel tiny;
  const auto require = [&](const MethodEntry& entry) {
    const AdapterSet set(decoder_sites(tiny.config()), {entry}, base_tensors(tiny.config()), Log{});
    require_row_groups(set, "run 'a': ");
  };
  require(entry_of("lora", targets({"q_proj"})));
  const auto refused = [&](const MethodEntry& entry, const char* why) {
    EXPECT_ERROR_STATUS(require(entry), GRAFT_E_CONFIG, why);
    EXPECT_ERROR_STATUS(require(entry), GRAFT_E_CONFIG, "run 'a': methods[0] (");
  };
  refused(entry_of("lora", targets({"q_proj", "lm_head"})), "changes 'lm_head', the head");
  refused(entry_of("lora", {{"targets", {"q_proj"}}, {"modules_to_save", {"model.norm"}}}),
          "trains 'model.norm.weight' of the base");
  refused(entry_of("ln_tuning", Json::object()), "of the base model");
  refused(entry_of("prompt", Json::object(), {{"tokens", 3}}), "rows of its own");
  refused(entry_of("prefix", Json::object(), {{"tokens", 3}}), "rows of its own");
}

}  // namespace
}  // namespace graft::core
