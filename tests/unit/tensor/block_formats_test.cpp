#include "core/tensor/block_formats.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/tensor/dtype.hpp"
#include "core/tensor/expand.hpp"
#include "core/tensor/safetensors.hpp"
#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

const fs::path golden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/tensors";

std::vector<float> floats(const HostTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

class BlockFormatTest : public testing::TestWithParam<BlockFormat> {
 protected:
  // Golden blocks as one row of a tensor, and what they expand to.
  BlockFormatTest() {
    const Safetensors file = Safetensors::open(golden / "blocks.safetensors");
    const std::string name(GetParam().name);
    blocks_ = file.tensor(name + ".blocks");
    values_ = floats(file.tensor(name + ".values"));
    blocks_.dtype = GRAFT_QUANT;
    blocks_.block_format = name;
    blocks_.shape = {static_cast<std::int64_t>(values_.size())};
  }

  HostTensor blocks_;
  std::vector<float> values_;
};

TEST_P(BlockFormatTest, ExpandsAsGgufDoes) {
  ASSERT_EQ(
      static_cast<std::int64_t>(blocks_.bytes.size()) / GetParam().bytes * GetParam().elements,
      static_cast<std::int64_t>(values_.size()));
  std::vector<float> out(values_.size());
  expand_block_row(GetParam().name, blocks_.bytes.data(), out.data(), blocks_.elements());
  int finite = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (std::isnan(values_[i])) {
      ASSERT_TRUE(std::isnan(out[i])) << i;
    } else {
      ASSERT_EQ(out[i], values_[i]) << i;
    }
    finite += std::isfinite(out[i]) && out[i] != 0;
  }
  EXPECT_GT(finite, blocks_.elements() / 3);
}

TEST_P(BlockFormatTest, RefusesPartsOfABlock) {
  std::vector<float> out(values_.size());
  EXPECT_ERROR(expand_block_row(GetParam().name, blocks_.bytes.data(), out.data(), 31), "31");
}

TEST_P(BlockFormatTest, ExpandRoundsToTheTargetType) {
  std::vector<std::uint16_t> out(values_.size());
  for (const std::uint32_t dtype : {GRAFT_BF16, GRAFT_F16}) {
    expand(blocks_, dtype, out.data(), 2);
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (std::isnan(values_[i])) continue;
      ASSERT_EQ(out[i], dtype == GRAFT_BF16 ? float_to_bf16(values_[i]) : float_to_f16(values_[i]));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, BlockFormatTest, testing::ValuesIn(block_formats()),
                         [](const auto& param) { return std::string(param.param.name); });

HostTensor matrix(const std::vector<float>& values, std::vector<std::int64_t> shape) {
  HostTensor tensor;
  tensor.name = "m";
  tensor.shape = std::move(shape);
  tensor.bytes = std::as_bytes(std::span(values));
  return tensor;
}

TEST(ExpandTest, PutsInterleavedRowsInOrder) {
  // Two heads of six rows. Row h*6 + 2j + p of the file is row h*6 + p*3 + j of the matrix.
  std::vector<float> values;
  for (int head = 0; head < 2; ++head) {
    for (int j = 0; j < 3; ++j) {
      for (int p = 0; p < 2; ++p) {
        for (int column = 0; column < 5; ++column) {
          values.push_back(static_cast<float>((head * 6 + p * 3 + j) * 10 + column));
        }
      }
    }
  }
  HostTensor tensor = matrix(values, {12, 5});
  tensor.interleaved_heads = 2;
  EXPECT_FALSE(tensor.plain());
  const HostTensor result = expanded(tensor, GRAFT_F32, 2);
  EXPECT_TRUE(result.plain());
  const std::vector<float> out = floats(result);
  for (int i = 0; i < 60; ++i) ASSERT_EQ(out[i], i / 5 * 10 + i % 5) << i;

  std::vector<float> part(10);
  expand_rows(tensor, GRAFT_F32, part.data(), 7, 9);
  EXPECT_EQ(part, std::vector<float>(out.begin() + 35, out.begin() + 45));

  const std::vector<float> bias = {0, 2, 1, 3};
  tensor = matrix(bias, {4});
  tensor.interleaved_heads = 1;
  EXPECT_EQ(floats(expanded(tensor, GRAFT_F32, 1)), (std::vector<float>{0, 1, 2, 3}));
}

TEST(ExpandTest, GivesTheSameWithAnyNumberOfThreads) {
  std::vector<float> values(1031 * 1029);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  const HostTensor tensor = matrix(values, {1031, 1029});
  for (const int threads : {1, 2, 3, 7}) {
    const HostTensor out = expanded(tensor, GRAFT_BF16, threads);
    std::vector<float> back(values.size());
    expand(out, GRAFT_F32, back.data(), threads);
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(back[i], bf16_to_float(float_to_bf16(values[i]))) << threads << " " << i;
    }
  }
}

TEST(ExpandTest, RefusesWhatDoesNotFit) {
  const std::vector<float> values(12);
  std::vector<float> out(64);
  EXPECT_ERROR(expand(matrix(values, {5, 2}), GRAFT_F32, out.data(), 1), "'m' has 48 bytes");
  EXPECT_ERROR(expand(matrix(values, {6, 2}), GRAFT_I32, out.data(), 1), "f32 to i32");
  EXPECT_ERROR(expand_rows(matrix(values, {6, 2}), GRAFT_F32, out.data(), 5, 7), "6 rows");
  HostTensor odd = matrix(values, {6, 2});
  odd.interleaved_heads = 2;
  EXPECT_ERROR(expand(odd, GRAFT_F32, out.data(), 1), "2 heads");
  HostTensor blocks = matrix(values, {3, 16});
  blocks.block_format = "q4_0";
  EXPECT_ERROR(expand(blocks, GRAFT_F32, out.data(), 1), "no whole number of q4_0");
}

TEST(ExpandTest, TakesEmptyTensors) {
  const std::vector<float> none;
  EXPECT_TRUE(expanded(matrix(none, {0, 3}), GRAFT_BF16, 2).bytes.empty());
  EXPECT_TRUE(expanded(matrix(none, {3, 0}), GRAFT_BF16, 2).bytes.empty());
}

}  // namespace
}  // namespace graft::core
