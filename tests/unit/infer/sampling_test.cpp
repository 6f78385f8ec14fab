// From logits to tokens: the filters of transformers, in their order.
#include "core/infer/sampling.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

/// How often each token is drawn in `n` draws.
std::map<std::int32_t, int> draws(const std::vector<float>& logits, const Sampling& s,
                                  const std::vector<std::int32_t>& seen = {}, int n = 20000) {
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < n; ++i) {
    std::vector<float> copy = logits;
    ++counts[choose_token(copy, s, seen, static_cast<std::uint64_t>(i))];
  }
  return counts;
}

std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)) + 3.0f);
  return logits;
}

void expect_shares(const std::map<std::int32_t, int>& counts,
                   const std::map<std::int32_t, double>& shares) {
  ASSERT_EQ(counts.size(), shares.size());
  for (const auto& [id, share] : shares) {
    ASSERT_TRUE(counts.count(id)) << id;
    EXPECT_NEAR(counts.at(id) / 20000.0, share, 0.015) << id;
  }
}

const std::vector<float> five = logits_of({0.1, 0.4, 0.05, 0.3, 0.15});
/// Shares where only the two likeliest of the five are left.
const std::map<std::int32_t, double> two_likeliest = {{1, 0.4 / 0.7}, {3, 0.3 / 0.7}};

TEST(Sampling, DrawsByProbability) {
  expect_shares(draws(five, {}), {{0, 0.1}, {1, 0.4}, {2, 0.05}, {3, 0.3}, {4, 0.15}});
}

TEST(Sampling, TemperatureSharpens) {
  Sampling s;
  s.temperature = 0.5;  // squares the probabilities
  const double sum = 0.01 + 0.16 + 0.0025 + 0.09 + 0.0225;
  expect_shares(
      draws(five, s),
      {{0, 0.01 / sum}, {1, 0.16 / sum}, {2, 0.0025 / sum}, {3, 0.09 / sum}, {4, 0.0225 / sum}});
}

TEST(Sampling, GreedyTakesTheLikeliestAndTheFirstOfEquals) {
  Sampling s;
  s.greedy = true;
  EXPECT_EQ(draws(five, s, {}, 3), (std::map<std::int32_t, int>{{1, 3}}));
  std::vector<float> equal = {1, 2, 2};
  EXPECT_EQ(choose_token(equal, s, {}, 0), 1);
}

TEST(Sampling, TopKKeepsTheLikeliest) {
  Sampling s;
  s.top_k = 2;
  expect_shares(draws(five, s), two_likeliest);
  s.top_k = 99;
  EXPECT_EQ(draws(five, s).size(), 5u);
}

TEST(Sampling, TopPKeepsTheSmallestSetThatReachesIt) {
  Sampling s;
  s.top_p = 0.65;
  expect_shares(draws(five, s), two_likeliest);
  s.top_p = 0.75;
  expect_shares(draws(five, s), {{1, 0.4 / 0.85}, {3, 0.3 / 0.85}, {4, 0.15 / 0.85}});
  s.top_p = 0.01;  // at least one
  EXPECT_EQ(draws(five, s).size(), 1u);
}

// top-p counts what top-k left, renormalised.
TEST(Sampling, TopPComesAfterTopK) {
  Sampling s;
  s.top_k = 3;
  s.top_p = 0.8;  // of 0.85: 0.7 is enough only with the third
  EXPECT_EQ(draws(five, s).size(), 2u);
  s.top_p = 0.83;
  EXPECT_EQ(draws(five, s).size(), 3u);
}

TEST(Sampling, MinPIsRelativeToTheLikeliest) {
  Sampling s;
  s.min_p = 0.5;
  expect_shares(draws(five, s), two_likeliest);
  s.min_p = 1;
  EXPECT_EQ(draws(five, s).size(), 1u);
}

TEST(Sampling, RepetitionPenaltyCountsATokenOnce) {
  Sampling s;
  s.repetition_penalty = 2;
  std::vector<float> logits = {2, -2, 1};
  choose_token(logits, s, std::vector<std::int32_t>{0, 1, 0, 0}, 0);
  EXPECT_EQ(logits, (std::vector<float>{1, -4, 1}));
}

TEST(Sampling, ASeedGivesTheSameTextAgain) {
  Sampling s;
  s.seed = 5;
  EXPECT_EQ(draws(five, s, {}, 50), draws(five, s, {}, 50));
  Sampling other = s;
  other.seed = 6;
  int same = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    std::vector<float> a = five, b = five;
    same += choose_token(a, s, {}, i) == choose_token(b, other, {}, i) ? 1 : 0;
  }
  EXPECT_LT(same, 150);
}

TEST(Sampling, RefusesWhatCannotBe) {
  const auto check = [](auto change) {
    Sampling s;
    change(s);
    check_sampling(s);
  };
  EXPECT_ERROR(check([](Sampling& s) { s.temperature = 0; }), "temperature is 0");
  EXPECT_ERROR(check([](Sampling& s) { s.temperature = std::nan(""); }), "temperature");
  EXPECT_ERROR(check([](Sampling& s) { s.top_p = 0; }), "top_p is 0");
  EXPECT_ERROR(check([](Sampling& s) { s.top_p = 1.5; }), "top_p is 1.5");
  EXPECT_ERROR(check([](Sampling& s) { s.min_p = -1; }), "min_p is -1");
  EXPECT_ERROR(check([](Sampling& s) { s.repetition_penalty = 0; }), "repetition_penalty is 0");
  EXPECT_ERROR(check([](Sampling& s) { s.top_k = -1; }), "top_k is -1");
}

TEST(Sampling, MostLikelyGivesLogProbabilities) {
  const auto best = most_likely(five, 3);
  ASSERT_EQ(best.size(), 3u);
  EXPECT_EQ(best[0].first, 1);
  EXPECT_NEAR(best[0].second, std::log(0.4), 1e-6);
  EXPECT_EQ(best[1].first, 3);
  EXPECT_EQ(best[2].first, 4);
  EXPECT_NEAR(best[2].second, std::log(0.15), 1e-6);
  EXPECT_EQ(most_likely(five, 99).size(), 5u);
}

}  // namespace
}  // namespace graft::core
