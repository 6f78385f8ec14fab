#include "core/tensor/safetensors.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "core/base/error.hpp"
#include "tests/unit/tensor/scratch.hpp"

namespace graft::core {
namespace {

class SafetensorsTest : public testing::Test {
 protected:
  fs::path path() const { return scratch_ / "a.safetensors"; }
  void write(std::string_view bytes) const { scratch_.write("a.safetensors", bytes); }

  void write_raw(const std::string& header, const std::string& data) const {
    std::string file(8, '\0');
    const std::uint64_t size = header.size();
    std::memcpy(file.data(), &size, 8);
    write(file + header + data);
  }

  // The message with which the file is refused; "" when it is taken.
  std::string refusal() const {
    try {
      Safetensors::open(path());
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), GRAFT_E_INVALID);
      EXPECT_NE(std::string(error.what()).find(path().string()), std::string::npos);
      return error.what();
    }
  }

  std::string refusal(const std::string& header, const std::string& data) const {
    write_raw(header, data);
    return refusal();
  }

 private:
  Scratch scratch_{"safetensors"};
};

HostTensor view(std::string name, std::uint32_t dtype, std::vector<std::int64_t> shape,
                std::string_view bytes) {
  HostTensor tensor;
  tensor.name = std::move(name);
  tensor.dtype = dtype;
  tensor.shape = std::move(shape);
  tensor.bytes = {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()};
  return tensor;
}

// The content of tests/golden/data/tensors/mixed.safetensors, in another order.
std::vector<HostTensor> mixed() {
  return {view("d", GRAFT_U8, {}, "\x07"), view("aa", GRAFT_F16, {1, 1}, "kl"),
          view("b\"\n/\x01", GRAFT_F32, {2, 1}, "abcdefgh"), view("a", GRAFT_F16, {1}, "ij"),
          view("c\xc3\xa9", GRAFT_I64, {0, 4}, "")};
}

TEST_F(SafetensorsTest, WritesTheBytesThatPythonWrites) {
  write_safetensors(path(), mixed(), {{"format", "pt"}});
  const fs::path golden =
      fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/tensors/mixed.safetensors";
  EXPECT_EQ(read_file(path()), read_file(golden));
}

TEST_F(SafetensorsTest, ReadsWhatItWrote) {
  write_safetensors(path(), mixed(), {{"format", "pt"}, {"x", ""}});
  HostTensor b;
  {
    const Safetensors file = Safetensors::open(path());
    EXPECT_EQ(file.names().size(), 5u);
    EXPECT_EQ(file.metadata(), (Safetensors::Metadata{{"format", "pt"}, {"x", ""}}));
    EXPECT_EQ(file.shape("c\xc3\xa9"), (std::vector<std::int64_t>{0, 4}));
    EXPECT_EQ(file.type("a"), "F16");
    EXPECT_TRUE(file.tensor("c\xc3\xa9").bytes.empty());
    EXPECT_EQ(file.tensor("d").rows(), 1);
    b = file.tensor("b\"\n/\x01");
    EXPECT_THROW(file.tensor("e"), Error);
  }
  EXPECT_EQ(std::memcmp(b.bytes.data(), "abcdefgh", 8), 0);  // the mapping outlives the reader
  EXPECT_EQ(b.dtype, std::uint32_t{GRAFT_F32});
}

TEST_F(SafetensorsTest, KnowsTypesThatItDoesNotRead) {
  ASSERT_EQ(refusal(R"({"q":{"dtype":"F4","shape":[4],"data_offsets":[0,2]},)"
                    R"("s":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[2,3]}})",
                    "abc"),
            "");
  const Safetensors file = Safetensors::open(path());
  EXPECT_TRUE(file.has("q"));
  try {
    file.tensor("s");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), GRAFT_UNSUPPORTED);
    EXPECT_NE(std::string(error.what()).find("'s' is F8_E4M3"), std::string::npos);
  }
}

TEST_F(SafetensorsTest, RefusesWhatTheFormatForbids) {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  ASSERT_EQ(refusal(good + "   ", "12345678"), "");
  struct Case {
    std::string header, data, message;
  };
  const std::vector<Case> cases = {
      {good, "1234567", "'a' lies at bytes 0 to 8"},
      {good, "123456789", "end at byte 8 of the data, but there are 9"},
      {" " + good, "12345678", "does not begin with '{'"},
      {"{", "", "not valid JSON"},
      {good + "x", "12345678", "not valid JSON"},
      {"{}{}", "", "not valid JSON"},
      {"{\"a\xff\":{}}", "", "not valid JSON"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "12345678", "takes 12 bytes"},
      {R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", "12345678", "dtype 'F33'"},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "12345678", "number -2"},
      {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", "12345678", "number 2.0"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "12345678", "bytes 8 to 0"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", "12345678", "number 8"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "12345678", "two numbers"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", "", "data_offsets"},
      {R"({"a":{"shape":[2],"data_offsets":[0,8]}})", "12345678", "dtype is missing"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", "12345678", "shape is missing"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "12345678",
       "occurs twice"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", "12345678", "number 1"},
      {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", "12345678", "an array"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})", "12345678",
       "more than 8"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,2],"data_offsets":[0,8]}})", "12345678",
       "no possible size"},
      {R"({"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}})", "12345678",
       "out of range"},
      {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", "1", "no possible size"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
       R"("a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "1234", "'a' occurs twice"},
      {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
       R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "1234", "an overlap"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "1234", "a hole"},
      {R"({"__metadata__":{"a":1}})", "", "number 1"},
      {R"({"__metadata__":{"a":{}}})", "", "an object"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", "", "occurs twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", "", "occurs twice"},
      {R"({"a":null})", "", "null"},
      {R"({"a":true})", "", "boolean"},
  };
  for (const Case& c : cases) {
    const std::string message = refusal(c.header, c.data);
    EXPECT_NE(message.find(c.message), std::string::npos) << c.header << "\n" << message;
  }
  write(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10));
  EXPECT_NE(refusal().find("at most 100000000"), std::string::npos);
  write(std::string("\x09\0\0\0\0\0\0\0{}", 10));
  EXPECT_NE(refusal().find("cut off"), std::string::npos);
  write("1234567");
  EXPECT_NE(refusal().find("7 bytes"), std::string::npos);
}

TEST_F(SafetensorsTest, RefusesToWriteNonsense) {
  const auto twice = {view("a", GRAFT_U8, {1}, "1"), view("a", GRAFT_F16, {1}, "12")};
  EXPECT_THROW(write_safetensors(path(), std::vector(twice), {}), Error);
  const auto short_one = {view("a", GRAFT_U8, {2}, "1")};
  EXPECT_THROW(write_safetensors(path(), std::vector(short_one), {}), Error);
  const auto not_text = {view("\xff", GRAFT_U8, {1}, "1")};
  EXPECT_THROW(write_safetensors(path(), std::vector(not_text), {}), Error);
  HostTensor blocks = view("a", GRAFT_QUANT, {32}, "1");
  blocks.block_format = "q4_0";
  EXPECT_THROW(write_safetensors(path(), std::vector{blocks}, {}), Error);
  EXPECT_FALSE(fs::exists(path()));
}

// Every prefix and every changed byte: an error or a good result, and what is good can be read.
TEST_F(SafetensorsTest, SurvivesEveryCutAndFlip) {
  write_safetensors(path(), mixed(), {{"format", "pt"}});
  const std::string whole = read_file(path());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write(whole.substr(0, size));
    EXPECT_NE(refusal(), "") << size;
  }
  std::size_t taken = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {0x01, 0x10, 0x80, 0xff}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      write(damaged);
      if (!refusal().empty()) continue;
      ++taken;
      const Safetensors file = Safetensors::open(path());
      for (const std::string& name : file.names()) {
        unsigned sum = 0;
        try {
          for (const std::byte byte : file.tensor(name).bytes)
            sum += std::to_integer<unsigned>(byte);
        } catch (const Error&) {
        }
        EXPECT_LT(sum, 13 * 256u);
      }
    }
  }
  EXPECT_GT(taken, 40u);  // most changes of the data
}

}  // namespace
}  // namespace graft::core
