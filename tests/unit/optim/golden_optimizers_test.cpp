// Optimizers against other implementations of them: tests/golden/make_optimizers.py.
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/file.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/optim/bench.hpp"

namespace graft::core {
namespace {

using test::Bench;

Json golden() {
  return Json::parse(read_file(fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/optimizers.json"));
}

Bench::Named names(const Json& file) {
  Bench::Named named;
  for (auto it = file["names"].begin(); it != file["names"].end(); ++it) {
    named.push_back({it.key(), it.value().get<std::vector<std::int64_t>>()});
  }
  return named;
}

double start(std::size_t i, std::size_t k) {
  return std::sin(static_cast<double>(k) * 1.3 + static_cast<double>(3 * i) + 0.5);
}
double slope(std::size_t i, std::size_t k, std::size_t step) {
  const auto at = [](std::size_t n) { return static_cast<double>(n); };
  return std::cos(at(k) * (0.7 + 0.1 * at(i)) + at(5 * i) + 1.7 * at(step));
}

TEST(GoldenOptimizers, TakeTheSameSteps) {
  const Json file = golden();
  for (const Json& one : file["cases"]) {
    const std::string label = one["optimizer"].get<std::string>() + " " + one["options"].dump();
    Bench bench(one["optimizer"], one["options"], names(file), std::vector<bool>(4, true));
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t k = 0; k < bench.size(i); ++k) bench.value(i, k) = start(i, k);
    }
    for (std::size_t step = 1; step <= one["after"].size(); ++step) {
      for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t k = 0; k < bench.size(i); ++k) bench.gradient(i, k) = slope(i, k, step);
      }
      const double lr = file["lr"].get<double>() / static_cast<double>(step);
      bench.optimizer().step(static_cast<std::int64_t>(step), lr, 0);
      double worst = 0;
      for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t k = 0; k < bench.size(i); ++k) {
          worst = std::max(
              worst, std::abs(bench.value(i, k) - one["after"][step - 1][i][k].get<double>()));
        }
      }
      EXPECT_LT(worst, 1e-9) << label << ", step " << step;
    }
  }
}

// Rows [4, 7] and [9, 4] of rank 2, a table and a bias in full.
TEST(GoldenOptimizers, KeepOnlyTheStatesThatTheyNeed) {
  const Bench::Named named = names(golden());
  const std::vector<bool> decays(4, true);
  const auto states = [&](const char* optimizer, const Json& options) {
    std::vector<std::int64_t> counts;
    const Bench bench(optimizer, options, named, decays);
    for (const StateRange& range : bench.memory().ranges) {
      EXPECT_EQ(range.dtype, std::uint32_t{GRAFT_F64});
      counts.push_back(range.count);
    }
    return counts;
  };
  using Counts = std::vector<std::int64_t>;
  // Ranges are padded to 16: [4, 1], [9, 1], [6, 1], [7] and [1, 7], [1, 4], [1, 5].
  EXPECT_EQ(states("adafactor", Json::object()), (Counts{4 * 16, 3 * 16}));
  EXPECT_EQ(states("adafactor", {{"beta1", 0.5}}), (Counts{4 * 16, 3 * 16, 32 + 48 + 32 + 16}));
  // AdamW's second moment for the table [6, 5] and the bias alone.
  EXPECT_EQ(states("muon", Json::object()), (Counts{32 + 48 + 32 + 16, 32 + 16}));
  // [2, 7], [9, 2], table, bias; the bases [4, 2] and [4, 2].
  EXPECT_EQ(states("galore", {{"rank", 2}}),
            (Counts{16 + 32 + 32 + 16, 16 + 32 + 32 + 16, 16 + 16}));
  // None has more than 200 rows and columns: no bases.
  EXPECT_EQ(states("galore", {{"rank", 200}}).size(), 2u);
}

// The gradient of a pair of matrices in which a product begins with 0 vanishes at first.
TEST(Galore, TakesAGradientOfZero) {
  Bench bench("galore", {{"rank", 2}, {"interval", 2}}, {{"m.mlp.w", {4, 5}}}, {true});
  for (std::int64_t step = 1; step <= 3; ++step) {
    for (std::size_t k = 0; k < bench.size(0); ++k) {
      bench.gradient(0, k) = step < 3 ? 0 : slope(0, k, 1);
    }
    bench.optimizer().step(step, 0.1, 0);
    for (std::size_t k = 0; k < bench.size(0); ++k) {
      EXPECT_EQ(bench.value(0, k) != 0, step == 3) << "step " << step;
      EXPECT_TRUE(std::isfinite(bench.value(0, k)));
    }
  }
}

TEST(GoldenOptimizers, RefuseWhatCannotBe) {
  const auto make = [](const char* optimizer, const Json& options) {
    Bench bench(optimizer, options, {{"w", {4, 5}}}, {true});
  };
  EXPECT_ERROR(make("galore", {{"rank", 0}}), "/rank is 0, but must be at least 1");
  EXPECT_ERROR(make("galore", {{"interval", 0}}), "/interval is 0, but must be at least 1");
  EXPECT_ERROR(make("muon", {{"adjust_lr", "none"}}), "adjust_lr");
  EXPECT_ERROR(make("lion", {{"betas", {0.9, 1.0}}}), "betas");
  EXPECT_ERROR(make("adafactor", {{"decay_rate", 0.8}}), "decay_rate");
}

}  // namespace
}  // namespace graft::core
