#include "core/data/batches.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/data/fake_encoder.hpp"

namespace graft::core {
namespace {

using fake::Folder;

using Ids = std::vector<std::int32_t>;
using Places = std::vector<std::int64_t>;

// Lines of the given numbers of tokens, all different.
std::string lines(const std::vector<int>& lengths) {
  std::string text;
  int id = 0;
  for (const int length : lengths) {
    text += "{\"input_ids\": [";
    for (int i = 0; i < length; ++i) text += cat(i ? ", " : "", id++ % 300);
    text += "]}\n";
  }
  return text;
}

class BatchesTest : public testing::Test {
 protected:
  Dataset dataset(const std::vector<int>& lengths) { return open({{lines(lengths), {}}}); }

  struct File {
    std::string content;
    std::optional<double> weight;
  };
  Dataset open(const std::vector<File>& files) {
    DataOptions options;
    for (const File& file : files) {
      const std::string name = cat(options.train.size(), ".jsonl");
      options.train.push_back({folder_.file(name, file.content), {}, file.weight});
    }
    return open_data(options, fake::encoder(), Log()).train;
  }

  Folder folder_;
};

BatchOptions options(std::int64_t batch_size, std::int64_t batch_tokens, std::int64_t accumulate,
                     std::int64_t steps, std::int64_t epochs, bool shuffle = false) {
  BatchOptions result;
  result.batch_size = batch_size;
  result.batch_tokens = batch_tokens;
  result.accumulate = accumulate;
  result.steps = steps;
  result.epochs = epochs;
  result.shuffle = shuffle;
  result.seed = 5;
  return result;
}

std::vector<Places> all(Batches& batches) {
  std::vector<Places> result;
  for (std::int64_t k = 0; k < batches.micro_steps(); ++k) {
    result.push_back(batches.micro_step(k).example_ids);
  }
  return result;
}

TEST_F(BatchesTest, PutsExamplesEndToEnd) {
  Batches batches(open({{R"({"input_ids": [10, 11, 12, 13], "labels": [10, -100, 12, 77]}
{"input_ids": [20, 21]}
)",
                         {}}}),
                  options(2, 0, 1, 1, 0));
  const Batch batch = batches.micro_step(0);
  EXPECT_EQ(batch.ids, (Ids{10, 11, 12, 13, 20, 21}));
  EXPECT_EQ(batch.positions, (Ids{0, 1, 2, 3, 0, 1}));
  // Row i predicts the label of i+1; nothing is predicted over the end of an example.
  EXPECT_EQ(batch.labels, (Ids{-100, 12, 77, -100, 21, -100}));
  EXPECT_EQ(batch.cu_seqlens, (Ids{0, 4, 6}));
  EXPECT_EQ(batch.supervised_rows, (Ids{1, 2, 4}));
  EXPECT_EQ(batch.supervised, 3);
  EXPECT_EQ(batch.example_ids, (Places{0, 1}));
  EXPECT_EQ(batch.rows(), 6);
  EXPECT_EQ(batches.step(0).supervised, 3);
  EXPECT_EQ(batches.step(0).rows, 6);
}

TEST_F(BatchesTest, StepsGoRoundAndRound) {
  Batches batches(dataset({2, 3, 4}), options(2, 0, 2, 2, 0));
  EXPECT_EQ(batches.steps(), 2);
  EXPECT_EQ(all(batches), (std::vector<Places>{{0, 1}, {2, 0}, {1, 2}, {0, 1}}));
  EXPECT_EQ(batches.micro_step(1).draws, (Places{2, 3}));
  EXPECT_EQ(batches.step(1).first, 2);
  EXPECT_EQ(batches.step(1).last, 4);
  EXPECT_DOUBLE_EQ(batches.epochs_before(1), 4.0 / 3);
  EXPECT_DOUBLE_EQ(batches.epochs_before(2), 8.0 / 3);
}

TEST_F(BatchesTest, EpochsAreWhole) {
  Batches batches(dataset({2, 3, 4, 5, 6}), options(2, 0, 2, 0, 2));
  EXPECT_EQ(all(batches), (std::vector<Places>{{0, 1}, {2, 3}, {4}, {0, 1}, {2, 3}, {4}}));
  ASSERT_EQ(batches.steps(), 4);  // ceil(3 / 2) an epoch
  EXPECT_EQ(batches.step(1).first, 2);
  EXPECT_EQ(batches.step(1).last, 3);
  EXPECT_EQ(batches.step(2).first, 3);
  EXPECT_EQ(batches.step(1).rows, 6);
  EXPECT_EQ(batches.step(1).supervised, 5);
}

TEST_F(BatchesTest, FillsUpToBatchTokens) {
  Batches batches(dataset({4, 4, 5, 3, 9, 2, 2}), options(0, 8, 1, 0, 1));
  // 9 tokens are more than fit: alone. The two last ones have the rest of the epoch.
  EXPECT_EQ(all(batches), (std::vector<Places>{{0, 1}, {2, 3}, {4}, {5, 6}}));
  Batches round(dataset({4, 4, 5, 3, 9, 2, 2}), options(0, 8, 1, 5, 0));
  EXPECT_EQ(all(round), (std::vector<Places>{{0, 1}, {2, 3}, {4}, {5, 6, 0}, {1}}));
}

TEST_F(BatchesTest, BoundsAreThoseOfTheBatchesThatOccur) {
  std::vector<int> lengths;
  for (int i = 0; i < 50; ++i) lengths.push_back(2 + i * 7 % 13);
  for (const bool shuffle : {false, true}) {
    for (const BatchOptions& option :
         {options(3, 0, 2, 0, 3, shuffle), options(0, 30, 2, 0, 3, shuffle),
          options(3, 0, 2, 7, 0, shuffle), options(0, 30, 3, 20, 0, shuffle)}) {
      Batches batches(dataset(lengths), option);
      Bounds found;
      for (std::int64_t s = 0; s < batches.steps(); ++s) {
        Step sum;
        for (std::int64_t k = batches.step(s).first; k < batches.step(s).last; ++k) {
          const Batch batch = batches.micro_step(k);
          found.rows = std::max(found.rows, batch.rows());
          found.sequences = std::max(found.sequences, batch.sequences());
          found.supervised = std::max(found.supervised, batch.supervised);
          for (std::size_t i = 1; i < batch.cu_seqlens.size(); ++i) {
            found.longest = std::max<std::int64_t>(found.longest,
                                                   batch.cu_seqlens[i] - batch.cu_seqlens[i - 1]);
          }
          sum.rows += batch.rows();
          sum.supervised += batch.supervised;
        }
        EXPECT_EQ(batches.step(s).rows, sum.rows);
        EXPECT_EQ(batches.step(s).supervised, sum.supervised);
      }
      const Bounds bounds = batches.bounds();
      EXPECT_EQ(bounds.rows, found.rows);
      EXPECT_EQ(bounds.sequences, found.sequences);
      EXPECT_EQ(bounds.supervised, found.supervised);
      EXPECT_EQ(bounds.longest, found.longest);
      if (option.batch_tokens > 0) {
        EXPECT_LE(bounds.rows, 30);
      }
    }
  }
}

TEST_F(BatchesTest, ShufflesEachEpochAnew) {
  Batches batches(dataset(std::vector<int>(40, 2)), options(40, 0, 1, 0, 3, true));
  Places in_order(40);
  std::iota(in_order.begin(), in_order.end(), 0);
  std::vector<Places> epochs = all(batches);
  EXPECT_NE(epochs[0], in_order);
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
  for (Places& epoch : epochs) {
    std::sort(epoch.begin(), epoch.end());
    EXPECT_EQ(epoch, in_order);
  }
}

TEST_F(BatchesTest, AMicroStepDependsOnItsPlaceAlone) {
  const Dataset data = dataset({2, 3, 4, 5, 6, 7, 8, 9});
  Batches forward(data, options(0, 20, 2, 12, 0, true));
  const std::vector<Places> order = all(forward);
  Batches jumping(data, options(0, 20, 2, 12, 0, true));
  for (std::size_t i = order.size(); i-- > 0;) {
    EXPECT_EQ(jumping.micro_step(static_cast<std::int64_t>(i)).example_ids, order[i]);
  }
  BatchOptions other = options(0, 20, 2, 12, 0, true);
  other.seed = 6;
  Batches reseeded(data, other);
  EXPECT_NE(all(reseeded), order);
  // A longer run begins with the shorter one.
  Batches longer(data, options(0, 20, 2, 24, 0, true));
  const std::vector<Places> more = all(longer);
  EXPECT_TRUE(std::equal(order.begin(), order.end(), more.begin()));
}

TEST_F(BatchesTest, EveryOrderOfThreeIsAsLikely) {
  Sampler sampler(dataset({2, 2, 2}), true, 1);
  std::map<Places, int> counts;
  for (std::int64_t e = 0; e < 3000; ++e) {
    ++counts[{sampler.at(3 * e), sampler.at(3 * e + 1), sampler.at(3 * e + 2)}];
  }
  EXPECT_EQ(counts.size(), 6u);
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, 500, 90);
}

TEST_F(BatchesTest, WeightsAreSharesOfTheDraws) {
  // 30 and 10 examples; half of the 40 draws of an epoch each.
  const std::vector<File> files = {{lines(std::vector<int>(30, 2)), 1.0},
                                   {lines(std::vector<int>(10, 3)), {}}};
  for (const bool shuffle : {false, true}) {
    Sampler sampler(open(files), shuffle, 7);
    ASSERT_EQ(sampler.epoch_size(), 40);
    std::map<std::int64_t, int> counts;
    int small = 0;
    for (std::int64_t draw = 0; draw < 120; ++draw) {
      const std::int64_t example = sampler.at(draw);
      ++counts[example];
      small += example >= 30;
      if (draw % 40 == 39) {
        EXPECT_EQ(small, 20 * (draw + 1) / 40);
      }
    }
    // Three epochs: 60 draws of 30 examples, 60 of 10: none more often than another.
    for (std::int64_t i = 0; i < 40; ++i) EXPECT_EQ(counts[i], i < 30 ? 2 : 6) << i;
  }
}

TEST_F(BatchesTest, UnshuffledFilesTakeTurns) {
  const Dataset data = open({{lines({2, 2, 2, 2}), 1.0}, {lines({2, 2, 2, 2}), 3.0}});
  Sampler sampler(data, false, 0);
  Places order;
  for (std::int64_t draw = 0; draw < 16; ++draw) order.push_back(sampler.at(draw));
  // One of the first file to three of the second, which goes on in the next epoch where it was.
  EXPECT_EQ(order, (Places{4, 0, 5, 6, 7, 1, 4, 5, 6, 2, 7, 4, 5, 3, 6, 7}));
}

TEST_F(BatchesTest, FilesWithoutWeightsAreOneList) {
  const Dataset data = open({{lines({2, 2}), {}}, {lines({2, 2, 2}), {}}});
  Batches batches(data, options(5, 0, 1, 0, 1));
  EXPECT_EQ(all(batches), (std::vector<Places>{{0, 1, 2, 3, 4}}));
}

TEST_F(BatchesTest, EvaluationTakesEachExampleOnce) {
  Batches batches = in_order(dataset({3, 3, 3, 3}), 0, 7);
  EXPECT_EQ(all(batches), (std::vector<Places>{{0, 1}, {2, 3}}));
}

TEST_F(BatchesTest, RefusesWrongOptions) {
  const Dataset data = dataset({2, 2});
  EXPECT_ERROR_STATUS(
      Batches(data, options(1, 8, 1, 1, 0)), GRAFT_E_CONFIG,
      "train.batch_size and train.batch_tokens are both there: give one of the two.");
  EXPECT_ERROR_STATUS(Batches(data, options(0, 0, 1, 1, 0)), GRAFT_E_CONFIG, "are neither there");
  EXPECT_ERROR_STATUS(Batches(data, options(1, 0, 1, 1, 1)), GRAFT_E_CONFIG,
                      "train.steps and train.epochs are both");
  EXPECT_ERROR_STATUS(Batches(data, options(1, 0, 1, 0, 0)), GRAFT_E_CONFIG,
                      "train.steps and train.epochs are neither");
  EXPECT_ERROR_STATUS(Batches(data, options(1, 0, 0, 1, 0)), GRAFT_E_CONFIG,
                      "train.accumulate is 0");
  EXPECT_ERROR_STATUS(Batches(data, options(-1, 0, 1, 1, 0)), GRAFT_E_CONFIG,
                      "train.batch_size is -1");
  EXPECT_ERROR_STATUS(Batches(data, options(1, 0, 1'000'000'000'000, 1'000'000'000'000, 0)),
                      GRAFT_E_CONFIG, "but a run has at most");
}

}  // namespace
}  // namespace graft::core
