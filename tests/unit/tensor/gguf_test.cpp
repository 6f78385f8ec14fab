#include "core/tensor/gguf.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "core/tensor/expand.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/tensor/scratch.hpp"

namespace graft::core {
using namespace std::string_literals;
namespace {

const fs::path golden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/tensors/small.gguf";

class GgufTest : public testing::Test {
 protected:
  Gguf parse(const std::string& bytes) const { return Gguf::open(scratch_.write("a.gguf", bytes)); }

 private:
  Scratch scratch_{"gguf"};
};

template <class T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string text(const std::string& value) {
  return raw<std::uint64_t>(value.size()) + value;
}

std::string head(std::uint64_t tensors, std::uint64_t values, std::uint32_t version = 3) {
  return "GGUF" + raw(version) + raw(tensors) + raw(values);
}
std::string tensor(const std::string& name, const std::vector<std::uint64_t>& dims,
                   std::uint32_t type, std::uint64_t offset) {
  std::string result = text(name) + raw(static_cast<std::uint32_t>(dims.size()));
  for (const std::uint64_t extent : dims) result += raw(extent);
  return result + raw(type) + raw(offset);
}
std::string padded(std::string bytes) {
  bytes.append((32 - bytes.size() % 32) % 32, '\0');
  return bytes;
}

TEST_F(GgufTest, ReadsValuesOfEveryType) {
  const Gguf file = Gguf::open(golden);
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.text("general.architecture"), "llama");
  EXPECT_EQ(file.integer("a.u8"), 200);
  EXPECT_EQ(file.integer("a.i8"), -100);
  EXPECT_EQ(file.integer("a.u16"), 60000);
  EXPECT_EQ(file.integer("a.i16"), -30000);
  EXPECT_EQ(file.integer("a.u32"), 4000000000);
  EXPECT_EQ(file.integer("a.i32"), -2000000000);
  EXPECT_EQ(file.integer("a.u64"), std::int64_t{1} << 40);
  EXPECT_EQ(file.integer("a.i64"), -(std::int64_t{1} << 40));
  EXPECT_EQ(file.number("a.f32"), static_cast<double>(0.1f));
  EXPECT_EQ(file.number("a.f64"), 0.1);
  EXPECT_EQ(file.number("a.u8"), 200.0);
  EXPECT_TRUE(file.flag("a.bool", false));
  EXPECT_EQ(file.text("a.text"), "h\xc3\xa9llo");
  EXPECT_EQ(file.texts("a.texts"), (std::vector<std::string_view>{"x", "", "\xe2\x82\xac"}));
  EXPECT_EQ(file.integers("a.integers"), (std::vector<std::int64_t>{-1, 2, 300}));
  EXPECT_EQ(file.floats("a.floats"), (std::vector<float>{0.5f, -2.0f}));

  EXPECT_EQ(file.integer("no", 7), 7);
  EXPECT_EQ(file.text("no", "x"), "x");
  EXPECT_TRUE(file.flag("no", true));
  EXPECT_ERROR(file.integer("no"), "'no' is missing");
  EXPECT_ERROR(file.integer("a.f32"), "'a.f32' is f32, not an integer");
  EXPECT_ERROR(file.text("a.texts"), "'a.texts' is array of 3 text, not a text");
  EXPECT_ERROR(file.integers("a.floats"), "array of 2 f32, not an array of integers");
  EXPECT_ERROR(file.texts("a.integers"), "array of texts");
  EXPECT_ERROR(file.flag("a.u8", true), "not a bool");
}

TEST_F(GgufTest, ReadsTensorsOfSeveralTypes) {
  HostTensor rows;
  {
    const Gguf file = Gguf::open(golden);
    ASSERT_EQ(file.tensors().size(), 4u);
    EXPECT_EQ(file.tensor("f32").shape, (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(file.tensor("f16").dtype, std::uint32_t{GRAFT_F16});
    EXPECT_EQ(file.tensor("bf16").dtype, std::uint32_t{GRAFT_BF16});
    EXPECT_EQ(file.tensor("q8_0").block_format, "q8_0");
    float values[6];
    expand(file.tensor("f32"), GRAFT_F32, values, 1);
    EXPECT_EQ(values[0], 0);
    EXPECT_EQ(values[3], 32);
    EXPECT_EQ(values[5], 34);
    expand(file.tensor("f16"), GRAFT_F32, values, 1);
    EXPECT_EQ(values[4], 4);
    EXPECT_ERROR_STATUS(file.tensor("x"), GRAFT_E_NOT_FOUND, "no tensor 'x'");
    rows = file.tensor("bf16");
  }
  float values[96];
  expand(rows, GRAFT_F32, values, 1);  // the mapping outlives the reader
  EXPECT_EQ(values[95], 95);
  expand(Gguf::open(golden).tensor("q8_0"), GRAFT_F32, values, 1);
  EXPECT_NEAR(values[95], 95, 0.01);  // the scale is rounded to f16
  EXPECT_NEAR(values[40], 40, 63.0 / 127);
}

TEST_F(GgufTest, RefusesWhatTheFormatForbids) {
  const std::string one = tensor("a", {8}, 0, 0);
  ASSERT_EQ(parse(padded(head(1, 0) + one) + std::string(32, 'x')).tensors().size(), 1u);
  const auto flawed = [&](const std::string& description, const std::string& part) {
    EXPECT_ERROR(parse(padded(head(1, 0) + description) + std::string(32, 'x')), part);
  };
  EXPECT_ERROR(parse("GGML"), "does not begin with 'GGUF'");
  EXPECT_ERROR(parse(""), "does not begin with 'GGUF'");
  EXPECT_ERROR_STATUS(parse(head(0, 0, 1)), GRAFT_E_VERSION, "version 1");
  EXPECT_ERROR(parse(head(0, 0, 0x3000000)), "big-endian");
  EXPECT_ERROR(parse(head(std::uint64_t{1} << 60, 0)), "more than fit");
  EXPECT_ERROR(parse(head(0, std::uint64_t{1} << 60)), "more than fit");
  EXPECT_ERROR(parse(padded(head(1, 0) + one) + std::string(31, 'x')), "cut off");
  flawed(tensor(std::string(64, 'n'), {8}, 0, 0), "too long");
  flawed(tensor("a", {8}, 0, 32), "should begin at byte 0 of the data, not at 32");
  flawed(tensor("a", {1, 1, 1, 1, 8}, 0, 0), "5 dimensions");
  flawed(tensor("a", {std::uint64_t{1} << 63}, 0, 0), "impossible dimensions");
  flawed(tensor("a", {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, 0), "impossible");
  flawed(tensor("a", {0, std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, 0), "impossible");
  flawed(tensor("a", {std::uint64_t{1} << 62}, 0, 0), "too large");
  flawed(tensor("a", {std::uint64_t{1} << 60}, 0, 0), "cut off");
  flawed(tensor("a", {31}, 8, 0), "rows of 31 elements, no whole number of q8_0 blocks");
  EXPECT_ERROR_STATUS(parse(padded(head(1, 0) + tensor("a", {256}, 16, 0))), GRAFT_UNSUPPORTED,
                      "tensor 'a' has the type iq2_xxs");
  EXPECT_ERROR(parse(padded(head(2, 0) + one + tensor("a", {8}, 0, 32)) + std::string(64, 'x')),
               "'a' occurs twice");

  const auto value = [&](const std::string& bytes, const std::string& part) {
    EXPECT_ERROR(parse(padded(head(0, 1) + bytes)), part);
  };
  const auto u32 = [](std::uint32_t number) { return raw(number); };
  value(text("") + u32(4) + u32(1), "empty key");
  value(text("k") + u32(13) + u32(1), "'k' has the unknown type 13");
  value(text("k") + u32(7) + "\2", "neither 0 nor 1");
  value(text("k") + u32(9) + u32(9) + raw<std::uint64_t>(1), "array of arrays");
  value(text("k") + u32(9) + u32(0) + raw<std::uint64_t>(1u << 31), "too many");
  value(text("k") + u32(9) + u32(10) + raw<std::uint64_t>(1u << 30), "ends within");
  value(text("k") + u32(9) + u32(8) + raw<std::uint64_t>(1u << 30), "more than fit");
  value(text("k") + u32(8) + raw<std::uint64_t>(1000), "ends within the value of 'k'");
  value(text("k") + u32(8) + raw<std::uint64_t>(~std::uint64_t{0}), "length of");
  value(text("general.alignment") + u32(4) + u32(24), "no sensible power of two");
  value(text("general.alignment") + u32(10) + raw<std::uint64_t>(32), "no u32");
  EXPECT_ERROR(parse(padded(head(0, 2) + text("k") + u32(0) + "1" + text("k") + u32(0) + "1")),
               "'k' occurs twice");
}

TEST_F(GgufTest, HonoursTheAlignment) {
  const std::string align =
      text("general.alignment") + raw<std::uint32_t>(4) + raw<std::uint32_t>(8);
  std::string bytes = head(2, 1) + align + tensor("a", {1}, 0, 0) + tensor("b", {1}, 0, 8);
  bytes.append((8 - bytes.size() % 8) % 8, '\0');
  const Gguf file = parse(bytes + "aaaa\0\0\0\0bbbb"s);
  EXPECT_EQ(std::memcmp(file.tensor("b").bytes.data(), "bbbb", 4), 0);
}

// Every prefix and every changed byte: an error or a good result, and what is good can be read.
TEST_F(GgufTest, SurvivesEveryCutAndFlip) {
  const std::string whole = read_file(golden);
  const auto use = [&](const std::string& bytes) {
    try {
      const Gguf file = parse(bytes);
      for (const std::string& key : file.keys()) {
        if (file.find(key)->type != GgufType::array) continue;
        if (file.find(key)->element == GgufType::text) {
          EXPECT_LT(file.texts(key).size(), bytes.size());
        } else if (file.find(key)->element != GgufType::boolean) {
          EXPECT_LT(file.floats(key).size(), bytes.size());
        }
      }
      for (const Gguf::Tensor& info : file.tensors()) {
        const HostTensor found = file.tensor(info.name);
        EXPECT_EQ(expanded(found, GRAFT_F32, 1).bytes.empty(), found.elements() == 0);
      }
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  ASSERT_TRUE(use(whole));
  std::size_t last = whole.size();
  while (last > 0 && use(whole.substr(0, last - 1))) --last;
  EXPECT_GT(last, whole.size() - 32);  // the padding behind the last tensor may be missing
  for (std::size_t size = 0; size < last; ++size) {
    EXPECT_FALSE(use(whole.substr(0, size))) << size;
  }
  std::size_t taken = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {0x01, 0x80, 0xff}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      taken += use(damaged);
    }
  }
  EXPECT_GT(taken, 1000u);  // changes of the data among them
}

}  // namespace
}  // namespace graft::core
