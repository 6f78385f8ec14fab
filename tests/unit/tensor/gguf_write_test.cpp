#include "core/tensor/gguf_write.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/tensor/scratch.hpp"

namespace graft::core {
namespace {

std::function<void(const Sink&)> bytes_of(std::string bytes) {
  return [bytes](const Sink& sink) { sink(bytes.data(), bytes.size()); };
}

class GgufWriteTest : public testing::Test {
 protected:
  Scratch scratch_{"gguf-write"};
  fs::path file_ = scratch_ / "a.gguf";
};

TEST_F(GgufWriteTest, WritesWhatIsReadBack) {
  GgufWriter writer;
  writer.add("a.u32", std::uint32_t{4000000000});
  writer.add("a.f32", 0.1f);
  writer.add("a.bool", true);
  writer.add("a.text", "h\xc3\xa9llo");
  writer.add("a.texts", std::vector<std::string>{"x", "", "yz"});
  writer.add("a.floats", std::vector<float>{0.5f, -2.0f});
  writer.add("a.integers", std::vector<std::int32_t>{-1, 7});
  EXPECT_TRUE(writer.has("a.text"));
  EXPECT_FALSE(writer.has("a.tex"));
  EXPECT_ERROR_STATUS(writer.add("a.f32", 1.0f), GRAFT_E_INTERNAL, "'a.f32' is set twice");
  const std::string first(20, '\1'), second(3 * 18, '\2');
  writer.add_tensor("plain", 0, {5}, bytes_of(first));
  writer.add_tensor("blocks", 2, {3, 32}, bytes_of(second));
  writer.write(file_);

  const Gguf file = Gguf::open(file_);
  EXPECT_EQ(file.integer("a.u32"), 4000000000);
  EXPECT_EQ(file.number("a.f32"), static_cast<double>(0.1f));
  EXPECT_TRUE(file.flag("a.bool", false));
  EXPECT_EQ(file.text("a.text"), "h\xc3\xa9llo");
  EXPECT_EQ(file.texts("a.texts"), (std::vector<std::string_view>{"x", "", "yz"}));
  EXPECT_EQ(file.floats("a.floats"), (std::vector<float>{0.5f, -2.0f}));
  EXPECT_EQ(file.integers("a.integers"), (std::vector<std::int64_t>{-1, 7}));
  const HostTensor blocks = file.tensor("blocks");
  EXPECT_EQ(blocks.block_format, "q4_0");
  EXPECT_EQ(blocks.shape, (std::vector<std::int64_t>{3, 32}));
  ASSERT_EQ(blocks.bytes.size(), second.size());
  EXPECT_EQ(std::memcmp(blocks.bytes.data(), second.data(), second.size()), 0);
  EXPECT_EQ(file.tensor("plain").bytes.size(), first.size());

  // And once more, key by key.
  GgufWriter again;
  for (const std::string& key : file.keys()) again.add(key, *file.find(key));
  again.add_tensor("plain", 0, {5}, bytes_of(first));
  again.add_tensor("blocks", 2, {3, 32}, bytes_of(second));
  again.write(scratch_ / "b.gguf");
  EXPECT_EQ(read_file(scratch_ / "b.gguf"), read_file(file_));
}

TEST_F(GgufWriteTest, RefusesWhatCannotBe) {
  GgufWriter writer;
  EXPECT_ERROR(writer.add_tensor("w", 2, {2, 48}, bytes_of("")), "rows of 48 elements");
  EXPECT_ERROR(writer.add_tensor(std::string(64, 'x'), 0, {1}, bytes_of("")), "1 to 63 bytes");
  EXPECT_ERROR_STATUS(ggml_type("q9_9"), GRAFT_UNSUPPORTED, "q9_9");
  writer.add_tensor("short", 0, {2}, bytes_of("1234"));
  EXPECT_ERROR_STATUS(writer.write(file_), GRAFT_E_INTERNAL, "4 bytes instead of 8");
  EXPECT_FALSE(fs::exists(file_));
}

}  // namespace
}  // namespace graft::core
