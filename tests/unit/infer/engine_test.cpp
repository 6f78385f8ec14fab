// Scoring and cached generation of a tiny decoder against running everything from scratch.
#include "core/infer/engine.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/graph/ref_device.hpp"
#include "tests/unit/model/tiny_model.hpp"

namespace graft::core {
namespace {

using test::lora_entry;
using test::TinyModel;

std::unique_ptr<InferenceEngine> engine_of(const TinyModel& tiny, double strength = 0.7,
                                           std::uint32_t dtype = GRAFT_F32) {
  std::vector<MethodEntry> entries = {
      lora_entry({{"targets", {"q_proj", "k_proj", "v_proj", "up_proj", "lm_head"}},
                  {"modules_to_save", {"model.norm"}}},
                 {{"rank", 2}, {"alpha", 3}, {"dropout", 0.5}})};
  auto set = std::make_unique<AdapterSet>(decoder_sites(tiny.config()), std::move(entries),
                                          test::tensors_of(decoder_tensors(tiny.config())), Log{});
  std::vector<std::vector<float>> values;
  for (const Parameter& p : set->parameters()) {
    std::vector<float>& v = values.emplace_back(static_cast<std::size_t>(p.count()));
    for (std::size_t k = 0; k < v.size(); ++k) {
      v[k] = 0.4f * std::sin(static_cast<float>(3 * k + values.size()));
    }
  }
  return std::make_unique<InferenceEngine>(ref_device(),
                                           Model::open(tiny.folder(), ref_device(), dtype),
                                           std::move(set), values, std::vector<double>{strength});
}

std::vector<std::int32_t> some_text(std::size_t n) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < n; ++i)
    ids.push_back(static_cast<std::int32_t>((i * i + 3 * i) % 13));
  return ids;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    most = std::max(most, static_cast<double>(std::abs(a[i] - b[i])));
  }
  return most;
}

TEST(InferenceEngine, CachedLogitsAreThoseOfAFreshPass) {
  const TinyModel tiny;
  const auto engine = engine_of(tiny);
  const std::vector<std::int32_t> ids = some_text(40);
  engine->begin(64);
  std::vector<float> logits = engine->feed({ids.begin(), ids.begin() + 7});
  for (std::size_t n = 7;; ++n) {
    const auto fresh =
        engine->score({ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n)}, true);
    EXPECT_LT(distance(logits, fresh.last_logits), 1e-5) << n << " tokens";
    if (n == ids.size()) break;
    logits = engine->feed({ids[n]});
  }
}

TEST(InferenceEngine, APrefillInPartsIsOnePass) {
  const TinyModel tiny;
  const auto engine = engine_of(tiny);
  const std::vector<std::int32_t> ids = some_text(300);  // more than one part of its own, too
  const auto whole = engine->score(ids, true).last_logits;
  engine->begin(300);
  EXPECT_LT(distance(engine->feed(ids), whole), 1e-5);
  for (const std::size_t part : {1u, 5u, 128u, 299u}) {
    engine->begin(300);
    std::vector<float> logits;
    for (std::size_t at = 0; at < ids.size(); at += part) {
      const std::size_t end = std::min(ids.size(), at + part);
      logits = engine->feed({ids.begin() + static_cast<std::ptrdiff_t>(at),
                             ids.begin() + static_cast<std::ptrdiff_t>(end)});
    }
    EXPECT_LT(distance(logits, whole), 1e-5) << "parts of " << part;
  }
}

TEST(InferenceEngine, ANewBeginningForgetsWhatWasFed) {
  const TinyModel tiny;
  const auto engine = engine_of(tiny);
  engine->begin(32);
  const auto first = engine->feed({1, 2, 3});
  engine->begin(32);
  engine->feed({9, 9, 9, 9, 9});
  engine->begin(200);  // a larger cache
  EXPECT_EQ(engine->feed({1, 2, 3}), first);
}

TEST(InferenceEngine, ScoresAreLogProbabilities) {
  const TinyModel tiny;
  const auto engine = engine_of(tiny);
  const std::vector<std::int32_t> ids = some_text(9);
  const Scored scored = engine->score(ids, false);
  EXPECT_TRUE(scored.last_logits.empty());
  ASSERT_EQ(scored.logprobs.size(), ids.size() - 1);
  for (std::size_t n = 1; n < ids.size(); ++n) {
    const auto logits =
        engine->score({ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n)}, true)
            .last_logits;
    double sum = 0;
    for (const float l : logits) sum += std::exp(static_cast<double>(l));
    EXPECT_NEAR(scored.logprobs[n - 1], logits[static_cast<std::size_t>(ids[n])] - std::log(sum),
                1e-5);
  }
  EXPECT_TRUE(engine->score({4}, true).logprobs.empty());
}

TEST(InferenceEngine, StrengthScalesTheAdapter) {
  const TinyModel tiny;
  const std::vector<std::int32_t> ids = some_text(9);
  const auto at = [&](double strength) {
    return engine_of(tiny, strength)->score(ids, true).last_logits;
  };
  EXPECT_GT(distance(at(0), at(0.7)), 1e-3);
  EXPECT_GT(distance(at(0.7), at(1)), 1e-4);
}

TEST(InferenceEngine, Bf16IsNearF32) {
  const TinyModel tiny;
  const std::vector<std::int32_t> ids = some_text(20);
  const auto narrow = engine_of(tiny, 0.7, GRAFT_BF16);
  narrow->begin(32);
  EXPECT_LT(distance(narrow->feed(ids), engine_of(tiny)->score(ids, true).last_logits), 0.15);
}

TEST(InferenceEngine, RefusesMoreThanTheCacheHolds) {
  const TinyModel tiny;
  const auto engine = engine_of(tiny);
  engine->begin(16);
  engine->feed(some_text(16));
  EXPECT_THROW(engine->feed({1}), Error);
}

}  // namespace
}  // namespace graft::core
