#include "core/tensor/block_encode.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "core/tensor/block_formats.hpp"
#include "core/tensor/quantize.hpp"
#include "core/tensor/safetensors.hpp"
#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

const fs::path golden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/tensors";

std::vector<std::byte> encoded(const BlockFormat& format, const std::vector<float>& values) {
  const auto count = static_cast<std::int64_t>(values.size());
  std::vector<std::byte> blocks(static_cast<std::size_t>(count / format.elements * format.bytes));
  encode_block_row(format.name, values.data(), blocks.data(), count);
  return blocks;
}

std::vector<float> read_back(const BlockFormat& format, const std::vector<float>& values) {
  std::vector<float> again(values.size());
  expand_block_row(format.name, encoded(format, values).data(), again.data(),
                   static_cast<std::int64_t>(values.size()));
  return again;
}

double squares(const std::vector<float>& values) {
  double sum = 0;
  for (const float x : values) sum += static_cast<double>(x) * x;
  return sum;
}

/// The root of the squared error over that of the values.
double relative_error(const BlockFormat& format, const std::vector<float>& values) {
  std::vector<float> error = read_back(format, values);
  for (std::size_t i = 0; i < error.size(); ++i) error[i] -= values[i];
  return std::sqrt(squares(error) / squares(values));
}

std::vector<float> normal(std::size_t count, float mean, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> distribution(mean, 0.02f);
  std::vector<float> values(count);
  for (float& x : values) x = distribution(generator);
  return values;
}

TEST(BlockEncode, GivesTheBytesOfGguf) {
  const Safetensors file = Safetensors::open(golden / "encoded.safetensors");
  const HostTensor tensor = file.tensor("values");
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  for (const char* name : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"}) {
    const std::vector<std::byte> blocks = encoded(block_format(name), values);
    const HostTensor right = file.tensor(std::string(name) + ".blocks");
    ASSERT_EQ(blocks.size(), right.bytes.size()) << name;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      ASSERT_EQ(blocks[i], right.bytes[i]) << name << " byte " << i;
    }
  }
}

class EncodeTest : public testing::TestWithParam<BlockFormat> {};

TEST_P(EncodeTest, IsAsNearAsItsBitsAllow) {
  // What normal values lose, with a tenth for luck; without the search of scales it is more.
  const std::map<std::string_view, double> most = {
      {"q4_0", 0.092}, {"q4_1", 0.081}, {"q5_0", 0.046},  {"q5_1", 0.039},
      {"q8_0", 0.006}, {"q2_k", 0.285}, {"q3_k", 0.165},  {"q4_k", 0.074},
      {"q5_k", 0.037}, {"q6_k", 0.020}, {"iq4_nl", 0.081}};
  const double error = relative_error(GetParam(), normal(256 * 64, 0, 1));
  EXPECT_LT(error, most.at(GetParam().name));
  EXPECT_GT(error, most.at(GetParam().name) / 2);
}

TEST_P(EncodeTest, KeepsWhatItCanExpandTo) {
  const std::vector<float> once = read_back(GetParam(), normal(256 * 8, 0.01f, 2));
  EXPECT_LT(relative_error(GetParam(), once), 0.03);
}

TEST_P(EncodeTest, TakesExtremes) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const float x : {0.0f, -0.0f, 1.0f, -1.0f, most_encodable, -most_encodable, tiny, 1e-30f}) {
    for (const float y : {x, 0.0f, -x}) {
      std::vector<float> values(256, x);
      for (std::size_t i = 0; i < 256; i += 3) values[i] = y;
      const float size = std::fabs(x);
      for (const float again : read_back(GetParam(), values)) {
        ASSERT_TRUE(std::isfinite(again)) << x << " " << y;
        ASSERT_LE(std::fabs(again), size * 1.1f + 1e-6f) << x << " " << y;
      }
    }
  }
}

TEST_P(EncodeTest, RefusesPartsOfABlock) {
  std::vector<float> values(256);
  std::vector<std::byte> blocks(512);
  EXPECT_ERROR(encode_block_row(GetParam().name, values.data(), blocks.data(), 31), "31");
}

TEST_P(EncodeTest, IsAFormatOfQuantize) {
  const std::string name(GetParam().name);
  const std::vector<float> values = normal(300 * 256, 0, 3);
  for (const int threads : {1, 3}) {
    graft_quant q = quantized_shape(name, 300, 256, 0, false);
    std::vector<std::byte> memory(buffer_bytes(q));
    set_buffers(q, memory.data());
    quantize(q, values.data(), threads, "w");
    const std::vector<std::byte> right = encoded(GetParam(), values);
    ASSERT_EQ(q.data_bytes, right.size());
    EXPECT_EQ(std::memcmp(q.data, right.data(), right.size()), 0);
  }
  EXPECT_ERROR(quantized_shape(name, 3, 48, 0, false), "rows of 48 elements");
  graft_quant q = quantized_shape(name, 1, 256, 0, false);
  std::vector<std::byte> memory(buffer_bytes(q));
  set_buffers(q, memory.data());
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), 70000.0f}) {
    std::vector<float> x(256, 1.0f);
    x[100] = bad;
    EXPECT_ERROR(quantize(q, x.data(), 1, "up_proj"), "up_proj");
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EncodeTest, testing::ValuesIn(block_formats()),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace graft::core
