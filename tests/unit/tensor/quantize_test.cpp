#include "core/tensor/quantize.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/tensor/dtype.hpp"
#include "core/tensor/expand.hpp"
#include "core/tensor/lane_mean.hpp"
#include "core/tensor/safetensors.hpp"
#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

const fs::path golden =
    fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/tensors/quantized.safetensors";

template <class T>
std::vector<T> read(const std::string& name) {
  const HostTensor t = Safetensors::open(golden).tensor(name);
  std::vector<T> values(t.bytes.size() / sizeof(T));
  std::memcpy(values.data(), t.bytes.data(), t.bytes.size());
  return values;
}

/// A quantized matrix with buffers of its own.
struct Made {
  Made(std::string_view format, std::int64_t rows, std::int64_t columns, std::int64_t block,
       bool nested)
      : q(quantized_shape(format, rows, columns, block, nested)), memory(buffer_bytes(q)) {
    set_buffers(q, memory.data());
  }
  template <class T>
  std::vector<T> aux(std::size_t i) const {
    std::vector<T> values(q.aux_bytes[i] / sizeof(T));
    std::memcpy(values.data(), q.aux[i], q.aux_bytes[i]);
    return values;
  }
  std::vector<std::uint8_t> codes() const {
    const auto* bytes = static_cast<const std::uint8_t*>(q.data);
    return {bytes, bytes + q.data_bytes};
  }
  std::vector<float> expanded() const {
    std::vector<float> values(static_cast<std::size_t>(q.rows * q.columns));
    expand_rows(q, GRAFT_F32, values.data(), 0, q.rows);
    return values;
  }
  graft_quant q;
  std::vector<std::byte> memory;
};

struct Case {
  const char* format;
  std::int64_t block;
};

class BookTest : public testing::TestWithParam<Case> {};

TEST_P(BookTest, EqualsBitsandbytesToTheBit) {
  const auto [format, block] = GetParam();
  const std::string name = std::string(format) + "." + std::to_string(block);
  const std::vector<float> values = read<float>("values");
  for (const int threads : {1, 3}) {
    Made made(format, 44, 192, block, false);
    quantize(made.q, values.data(), threads, "values");
    EXPECT_EQ(made.codes(), read<std::uint8_t>(name + ".codes"));
    EXPECT_EQ(made.aux<float>(0), read<float>(name + ".scales"));
    if (block == 64) {
      EXPECT_EQ(made.expanded(), read<float>(name + ".expanded"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, BookTest,
                         testing::Values(Case{"nf4", 32}, Case{"nf4", 64}, Case{"nf4", 4096},
                                         Case{"fp4", 32}, Case{"fp4", 64}, Case{"fp4", 4096}));

TEST(Quantize, NestedScalesExpandAsInBitsandbytes) {
  const std::string name = "nf4.32.nested";
  Made made("nf4", 44, 192, 32, true);
  const auto fill = [](const void* to, const auto& from) {
    std::memcpy(const_cast<void*>(to), from.data(), from.size() * sizeof(from[0]));
  };
  fill(made.q.data, read<std::uint8_t>(name + ".codes"));
  fill(made.q.aux[0], read<std::uint8_t>(name + ".scales"));
  fill(made.q.aux[1], read<float>(name + ".nested"));
  const auto book = code_book("nf4");
  fill(made.q.aux[2], std::vector<float>(book.begin(), book.end()));
  std::vector<float> map = read<float>("map");
  map.push_back(read<float>(name + ".offset").at(0));
  fill(made.q.aux[3], map);
  EXPECT_EQ(made.expanded(), read<float>(name + ".expanded"));
}

TEST(Quantize, NestsScalesAsBitsandbytesDoes) {
  const std::vector<float> values = read<float>("values");
  Made made("nf4", 44, 192, 32, true);
  quantize(made.q, values.data(), 2, "values");
  EXPECT_EQ(made.codes(), read<std::uint8_t>("nf4.32.nested.codes"));
  EXPECT_EQ(made.aux<std::uint8_t>(0), read<std::uint8_t>("nf4.32.nested.scales"));
  EXPECT_EQ(made.aux<float>(1), read<float>("nf4.32.nested.nested"));
  EXPECT_EQ(made.aux<float>(3).at(256), read<float>("nf4.32.nested.offset").at(0));
  EXPECT_EQ(made.expanded(), read<float>("nf4.32.nested.expanded"));
}

TEST(Quantize, SumsMeansAsTorchDoes) {
  const std::vector<std::uint16_t> halves = read<std::uint16_t>("mean.values");
  std::vector<float> values;
  for (const std::uint16_t half : halves) values.push_back(f16_to_float(half));
  const std::vector<float> means = read<float>("mean.means");
  std::size_t at = 0, i = 0;
  for (const std::int32_t size : read<std::int32_t>("mean.sizes")) {
    const auto n = static_cast<std::size_t>(size);
    EXPECT_EQ(lane_mean(std::span(values).subspan(at, n)), means.at(i++)) << n;
    at += n;
  }
  EXPECT_EQ(at, values.size());
  EXPECT_EQ(lane_mean({}), 0);
}

TEST(Quantize, ALastBlockMayBeShortAndOdd) {
  const std::vector<float> values = read<float>("tail.values");
  Made made("nf4", 1, 101, 64, false);
  quantize(made.q, values.data(), 1, "tail");
  EXPECT_EQ(made.codes(), read<std::uint8_t>("tail.codes"));
  EXPECT_EQ(made.aux<float>(0), read<float>("tail.scales"));
}

TEST(Quantize, DynamicMapAndItsCodes) {
  const std::vector<float> theirs = read<float>("map");
  for (std::size_t i = 0; i < 256; ++i) {
    EXPECT_EQ(dynamic_map()[i], theirs[i]) << i;
  }
  EXPECT_EQ(dynamic_map()[127], 0);
  EXPECT_EQ(dynamic_map()[255], 1);
  const std::vector<float> values = read<float>("codes8.values");
  std::vector<std::uint8_t> codes(values.size());
  std::vector<float> scales(3);
  quantize_dynamic(values, 256, codes.data(), scales.data());
  EXPECT_EQ(codes, read<std::uint8_t>("codes8.codes"));
  EXPECT_EQ(scales, read<float>("codes8.scales"));
}

TEST(Quantize, ValuesBetweenTwoPlacesGoUp) {
  const std::vector<float> values = read<float>("ties.values");
  std::vector<std::uint8_t> codes(values.size());
  std::vector<float> scales(values.size() / 256);
  quantize_dynamic(values, 256, codes.data(), scales.data());
  EXPECT_EQ(codes, read<std::uint8_t>("ties.codes"));
}

TEST(Quantize, RowsOfIntegers) {
  const std::vector<float> values = read<float>("values");
  Made made("int8", 12, 192, 64, false);
  quantize(made.q, values.data(), 2, "values");
  EXPECT_EQ(made.codes(), read<std::uint8_t>("int8.codes"));
  EXPECT_EQ(made.aux<float>(0), read<float>("int8.scales"));
  EXPECT_EQ(made.expanded(), read<float>("int8.expanded"));
}

// Each threshold and its neighbours: what is equal goes to the lower entry.
TEST(Quantize, Thresholds) {
  const auto book = code_book("nf4");
  for (std::size_t i = 0; i < 15; ++i) {
    const float middle = (book[i] + book[i + 1]) / 2;
    std::vector<float> x(64, 0.0f);
    x[0] = 1;
    x[1] = middle;
    x[2] = std::nextafter(middle, 2.0f);
    Made made("nf4", 1, 64, 64, false);
    quantize(made.q, x.data(), 1, "x");
    EXPECT_EQ(made.expanded()[1], book[i]);
    EXPECT_EQ(made.expanded()[2], book[i + 1]);
  }
}

TEST(Quantize, Refuses) {
  EXPECT_ERROR(quantized_shape("nf4", 2, 48, 48, true), "blocks of 48");
  EXPECT_ERROR(quantized_shape("fp4", 2, 48, 8192, true), "blocks of 8192");
  EXPECT_ERROR_STATUS(quantized_shape("nf5", 2, 64, 64, true), GRAFT_UNSUPPORTED, "nf5");
  EXPECT_ERROR(quantized_shape("nf4", std::int64_t{1} << 40, 1 << 20, 64, true), "its size");
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    for (const char* format : {"nf4", "int8"}) {
      Made made(format, 1, 64, 64, false);
      std::vector<float> x(64, 1.0f);
      x[17] = bad;
      EXPECT_ERROR(quantize(made.q, x.data(), 1, "q_proj"), "q_proj");
    }
  }
}

}  // namespace
}  // namespace graft::core
