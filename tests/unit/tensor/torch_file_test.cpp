#include "core/tensor/torch_file.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "core/base/error.hpp"
#include "core/tensor/expand.hpp"
#include "tests/unit/base/damage.hpp"
#include "tests/unit/tensor/scratch.hpp"

namespace graft::core {
namespace {

using std::string_literals::operator""s;

const fs::path kGolden = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/tensors";

std::vector<float> values(const TorchFile& file, std::string_view name) {
  const HostTensor tensor = file.tensor(name);
  std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
  expand(tensor, GRAFT_F32, out.data(), 1);
  return out;
}

template <class Number>
std::string le(Number value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

/// What of a zip file a test changes.
struct Oddities {
  std::uint16_t method = 0, flags = 0;
  std::uint32_t size_change = 0, offset_change = 0, crc_change = 0;
  bool zip64 = false;
  std::string local_name = {};
  std::uint16_t entries_change = 0;
};

struct Item {
  std::string name, data;
};

std::string zip(const std::vector<Item>& items, const Oddities& odd = {}) {
  std::string out, directory;
  for (const Item& item : items) {
    const auto size = static_cast<std::uint32_t>(item.data.size());
    const std::uint32_t crc =
        crc32({reinterpret_cast<const std::byte*>(item.data.data()), item.data.size()}) +
        odd.crc_change;
    const std::string local = odd.local_name.empty() ? item.name : odd.local_name;
    const auto offset = static_cast<std::uint32_t>(out.size()) + odd.offset_change;
    out += le(0x04034b50u) + std::string(22, '\0') + le(std::uint16_t(local.size())) +
           le(std::uint16_t{0}) + local + item.data;
    const std::uint32_t listed = size + odd.size_change;
    const std::string extra = odd.zip64 ? le(std::uint16_t{1}) + le(std::uint16_t{24}) +
                                              le(std::uint64_t{listed}) +
                                              le(std::uint64_t{listed}) + le(std::uint64_t{offset})
                                        : "";
    directory += le(0x02014b50u) + le(std::uint32_t{0}) + le(odd.flags) + le(odd.method) +
                 le(std::uint32_t{0}) + le(crc) + le(odd.zip64 ? 0xffffffffu : listed) +
                 le(odd.zip64 ? 0xffffffffu : listed) + le(std::uint16_t(item.name.size())) +
                 le(std::uint16_t(extra.size())) + std::string(10, '\0') +
                 le(odd.zip64 ? 0xffffffffu : offset) + item.name + extra;
  }
  const std::uint64_t begin = out.size();
  const auto entries = static_cast<std::uint16_t>(items.size() + odd.entries_change);
  out += directory;
  if (odd.zip64) {
    const std::uint64_t record = out.size();
    out += le(0x06064b50u) + le(std::uint64_t{44}) + std::string(12, '\0') +
           le(std::uint64_t{entries}) + le(std::uint64_t{entries}) +
           le(std::uint64_t{directory.size()}) + le(begin);
    out += le(0x07064b50u) + le(std::uint32_t{0}) + le(record) + le(std::uint32_t{1});
    return out + le(0x06054b50u) + std::string(4, '\0') + std::string(12, '\xff') +
           std::string(2, '\0');
  }
  return out + le(0x06054b50u) + le(std::uint32_t{0}) + le(entries) + le(entries) +
         le(static_cast<std::uint32_t>(directory.size())) + le(static_cast<std::uint32_t>(begin)) +
         le(std::uint16_t{0});
}

std::string text(const std::string& s) {
  return "X" + le(static_cast<std::uint32_t>(s.size())) + s;
}

/// The opcodes of a tensor in the storage "0".
std::string tensor(const std::string& elements, const std::string& offset, const std::string& shape,
                   const std::string& strides, const std::string& type = "FloatStorage") {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + type + "\n" +
         text("0") + text("cpu") + elements + "tQ" + offset + "(" + shape + "t(" + strides +
         "t\x89" + "ccollections\nOrderedDict\n)RtR";
}

const std::string kTwo = tensor("K\x02", "K\0"s, "K\x02", "K\x01");

class TorchFileTest : public testing::Test {
 protected:
  fs::path path() const { return scratch_ / "a.bin"; }
  std::string refusal_of(const std::string& bytes) const {
    test::write_file(path(), bytes);
    try {
      const TorchFile file = TorchFile::open(path());
      for (const std::string& name : file.names()) file.tensor(name);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), GRAFT_E_INVALID) << error.what();
      EXPECT_NE(std::string(error.what()).find(path().string()), std::string::npos) << error.what();
      return error.what();
    }
  }
  /// Of a file with this pickle and two floats in the storage "0".
  std::string refusal(const std::string& pickle, const Oddities& odd = {}) const {
    return refusal_of(zip({{"a/data.pkl", pickle}, {"a/data/0", "\0\0\x80\x3f\0\0\0\x40"s}}, odd));
  }
  void expect_refused(const std::string& pickle, const std::string& message) const {
    const std::string got = refusal(pickle);
    EXPECT_NE(got.find(message), std::string::npos) << "wanted: " << message << "\ngot: " << got;
  }

  Scratch scratch_{"torch-file"};
};

TEST_F(TorchFileTest, ReadsWhatTorchSaves) {
  for (const char* name : {"torch.bin", "torch-protocol4.bin"}) {
    const TorchFile file = TorchFile::open(kGolden / name);
    EXPECT_EQ(file.names(), (std::vector<std::string>{"plain", "scalar", "empty", "half", "brain",
                                                      "double", "long", "bool", "base",
                                                      "transposed", "part", "parameter"}));
    EXPECT_EQ(values(file, "plain"), (std::vector<float>{0.5, 1, 1.5, 2, 2.5, 3}));
    EXPECT_EQ(file.shape("plain"), (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(values(file, "scalar"), (std::vector<float>{0.5}));
    EXPECT_TRUE(file.shape("scalar").empty());
    EXPECT_EQ(file.shape("empty"), (std::vector<std::int64_t>{0, 4}));
    EXPECT_TRUE(file.tensor("empty").bytes.empty());
    EXPECT_EQ(values(file, "half"), (std::vector<float>{0.5, 1, 1.5}));
    EXPECT_EQ(file.type("half"), "F16");
    EXPECT_EQ(values(file, "brain"), (std::vector<float>{0.5, 1, 1.5}));
    EXPECT_EQ(file.tensor("brain").dtype, std::uint32_t{GRAFT_BF16});
    EXPECT_EQ(values(file, "double"), (std::vector<float>{0.5, 1}));
    EXPECT_EQ(file.tensor("long").dtype, std::uint32_t{GRAFT_I64});
    EXPECT_EQ(values(file, "transposed"),
              (std::vector<float>{0.5, 2.5, 4.5, 1, 3, 5, 1.5, 3.5, 5.5, 2, 4, 6}));
    EXPECT_EQ(values(file, "part"), (std::vector<float>{3, 3.5, 5, 5.5}));
    EXPECT_EQ(values(file, "parameter"), (std::vector<float>{0.5, 1, 1.5, 2}));
    EXPECT_FALSE(file.has("nothing"));
    EXPECT_THROW(file.tensor("nothing"), Error);
    try {
      file.tensor("bool");
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), GRAFT_UNSUPPORTED);
    }
  }
}

TEST_F(TorchFileTest, ReadsTheStateOfAModule) {
  const TorchFile file = TorchFile::open(kGolden / "torch-state.bin");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"weight", "bias"}));
  EXPECT_EQ(values(file, "weight"), (std::vector<float>{0.5, 1, 1.5, 2, 2.5, 3}));
}

TEST_F(TorchFileTest, ReadsWhatItWrote) {
  const std::vector<float> a = {1, 2, 3, 4, 5, 6}, b = {7};
  const auto item = [](std::string name, std::vector<std::int64_t> shape,
                       const std::vector<float>& v) {
    return SafetensorsItem{std::move(name), GRAFT_F32, std::move(shape),
                           [&v](const Sink& sink) { sink(v.data(), v.size() * sizeof(float)); }};
  };
  write_torch_file(path(), {item("a.b", {3, 2}, a), item("c\xc3\xa9", {}, b)});
  const TorchFile file = TorchFile::open(path());
  EXPECT_EQ(file.names(), (std::vector<std::string>{"a.b", "c\xc3\xa9"}));
  EXPECT_EQ(values(file, "a.b"), a);
  EXPECT_EQ(values(file, "c\xc3\xa9"), b);
  EXPECT_EQ(file.shape("a.b"), (std::vector<std::int64_t>{3, 2}));
  EXPECT_THROW(write_torch_file(path(), {item("a", {1}, b), item("a", {1}, b)}), Error);
  EXPECT_THROW(write_torch_file(path(), {item("a", {2}, b)}), Error);
  EXPECT_EQ(TorchFile::open(path()).names().size(), 2u);  // what was there stays
}

TEST_F(TorchFileTest, ExecutesNothing) {
  ASSERT_EQ(refusal("\x80\x02}" + text("w") + kTwo + "s."), "");
  const std::string named = refusal("\x80\x02" + "cposix\nsystem\n("s + text("true") + "tR.");
  EXPECT_NE(named.find("at byte 2 of its pickle it asks for 'posix.system'"), std::string::npos)
      << named;
  expect_refused("\x80\x04" + "\x8c\x08"s + "builtins\x8c\x04" + "eval\x93.", "'builtins.eval'");
  expect_refused("\x80\x02" + "ctorch\nload\n."s, "'torch.load'");
  expect_refused("\x80\x02" + "ctorch._utils\n_rebuild_qtensor\n."s,
                 "'torch._utils._rebuild_qtensor'");
  expect_refused("\x80\x02" + "ctorch\nFloatTensor\n."s, "'torch.FloatTensor'");
  expect_refused("\x80\x02" + "c\x01\x02\nx\n."s, "'\?\?.x'");
  // INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, BUILD of what is no dict, PERSID, GET, STRING, BINBYTES
  for (const int op : std::initializer_list<int>{'i', 'o', 0x81, 0x92, 0x82, 'P', 'g', 'S', 'B',
                                                 'I', 'F', '0', '2'}) {
    const std::string got = refusal("\x80\x02}"s + static_cast<char>(op) + std::string(8, '\n'));
    EXPECT_NE(got.find("at byte 3 of its pickle there is the opcode 0x"), std::string::npos) << got;
  }
  expect_refused("\x80\x02N}b.", "a dict is expected, not None");
  expect_refused("\x80\x02" + "ctorch\nFloatStorage\n)R."s, "'FloatStorage' is called with 0");
  expect_refused("\x80\x02})R.", "something is called that is no function");
}

TEST_F(TorchFileTest, RefusesOtherPickles) {
  const std::string begin = "\x80\x02}" + text("w");
  expect_refused("", "it is cut off");
  expect_refused("\x80\x06}.", "protocol 6");
  expect_refused("\x80\x02}", "it is cut off");
  expect_refused("\x80\x02}.}", "bytes behind its end");
  expect_refused("\x80\x02}}.", "more or less than one value");
  expect_refused("\x80\x02(}.", "more or less than one value");
  expect_refused("\x80\x02K\x01.", "a dict is expected, not a number");
  expect_refused("\x80\x02]K\x01s.", "a value is asked for where there is none");
  expect_refused("\x80\x02}K\x01s.", "a value is asked for where there is none");
  expect_refused("\x80\x02(\x85.", "a value is taken where there is none");
  expect_refused("\x80\x02}(K\x01u.", "a key has no value");
  expect_refused("\x80\x02}t.", "a mark is asked for");
  expect_refused("\x80\x02}h\x01.", "kept as 1");
  expect_refused("\x80\x02}K\x01K\x01s.", "a key of its dict is a number");
  expect_refused(begin + "K\x01s.", "'w' is a number, not a tensor");
  expect_refused("\x80\x02}q\0X\x01\0\0\0wh\0s."s, "'w' is a dict, not a tensor");  // in itself
  expect_refused("\x80\x02]q\0h\0a."s, "a dict is expected, not a list");
  expect_refused("\x80\x02}X\xff\xff\xff\xffw.", "it is cut off");
  expect_refused("\x80\x02}\x8a\x09" + std::string(9, '\1') + ".", "9 bytes");
  expect_refused(begin + "NQs.", "no description of a storage");
  expect_refused("\x80\x02}X\x01\0\0\0\xff"s + kTwo + "s.", "no name of a tensor");
  expect_refused("\x80\x02}(" + text("w") + kTwo + text("w") + kTwo + "u.", "'w' is in it twice");
  expect_refused("\x80\x02" + std::string(std::size_t{1} << 21, ')'), "more than 1048576 values");
  expect_refused(std::string((std::size_t{1} << 24) + 1, '('), "at most 16777216");
  expect_refused("\x80\x02" + std::string(5000, '(') + ".", "more or less than one value");
}

TEST_F(TorchFileTest, RefusesTensorsThatAreNotThere) {
  const auto with = [&](const std::string& made) {
    return refusal("\x80\x02}" + text("w") + made + "s.");
  };
  const auto expect = [&](const std::string& made, const std::string& message) {
    const std::string got = with(made);
    EXPECT_NE(got.find(message), std::string::npos) << "wanted: " << message << "\ngot: " << got;
  };
  const std::string zero = "K\0"s, huge = "\x8a\x08" + le(std::int64_t{1} << 62);
  EXPECT_EQ(with(tensor("K\x02", "K\x01", "K\x01", "K\x01")), "");
  expect(tensor("K\x02", zero, "K\x03", "K\x01"), "beyond its storage");
  expect(tensor("K\x02", "K\x01", "K\x02", "K\x01"), "beyond its storage");
  expect(tensor("K\x02", "J\xff\xff\xff\xff", "K\x01", "K\x01"), "beyond its storage");
  expect(tensor("K\x02", zero, "K\x03", zero), "larger than that");  // a stride of 0
  expect(tensor("K\x02", zero, huge, zero), "larger than that");
  expect(tensor("K\x02", zero, huge + huge, huge + huge), "beyond its storage");
  expect(tensor("K\x02", zero, huge, huge), "beyond its storage");
  expect(tensor("K\x02", "K\x03", zero, "K\x01"), "beyond its storage");
  expect(tensor("K\x02", zero, "J\xff\xff\xff\xff", "K\x01"), "extent or stride -1");
  expect(tensor("K\x02", zero, "K\x02K\x01", "K\x01"), "another number of strides");
  expect(tensor("K\x02", zero, "K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01", "K\x01"),
         "more than 8 axes");
  expect(tensor("K\x03", zero, "K\x02", "K\x01"), "but 'a/data/0' has 8 bytes");
  expect(tensor(huge, zero, "K\x02", "K\x01"), "but 'a/data/0' has 8 bytes");
  expect(tensor("J\xff\xff\xff\xff", zero, "K\x02", "K\x01"), "-1 elements");
  expect(tensor("K\x02", zero, "K\x02", "K\x01", "DoubleStorage"), "has 8 bytes");
  expect(tensor("K\x02", zero, "K\x02", "K\x01", "QInt8Storage"), "'torch.QInt8Storage'");
  EXPECT_NE(refusal_of(zip({{"a/data.pkl", "\x80\x02}" + text("w") + kTwo + "s."}}))
                .find("'a/data/0', which is not there"),
            std::string::npos);
}

TEST_F(TorchFileTest, RefusesOtherZipFiles) {
  const std::string good = "\x80\x02}" + text("w") + kTwo + "s.";
  const auto expect = [&](const Oddities& odd, const std::string& message) {
    const std::string got = refusal(good, odd);
    EXPECT_NE(got.find(message), std::string::npos) << "wanted: " << message << "\ngot: " << got;
  };
  EXPECT_EQ(refusal(good, {.zip64 = true}), "");
  expect({.method = 8}, "is compressed (method 8");
  expect({.flags = 1}, "is encrypted");
  expect({.size_change = 1 << 20}, "lie before the directory");
  expect({.size_change = 1 << 20, .zip64 = true}, "lie before the directory");
  expect({.offset_change = 1}, "where no entry begins");
  expect({.offset_change = 1u << 31}, "where no entry begins");
  expect({.offset_change = 1u << 31, .zip64 = true}, "where no entry begins");
  expect({.crc_change = 1}, "another checksum");
  expect({.local_name = "b"}, "called otherwise");
  expect({.entries_change = 1}, "there is no entry at byte");
  expect({.entries_change = 0xffff}, "more than the 1 entries");
  EXPECT_NE(refusal_of("").find("no directory at its end"), std::string::npos);
  EXPECT_NE(refusal_of("PK").find("no directory at its end"), std::string::npos);
  EXPECT_NE(refusal_of("\x80\x02}.").find("before 1.6"), std::string::npos);
  EXPECT_NE(refusal_of(zip({{"a/x", ""}})).find("0 entries"), std::string::npos);
  EXPECT_NE(refusal_of(zip({{"a/data.pkl", good}, {"b/data.pkl", good}})).find("2 entries"),
            std::string::npos);
  EXPECT_NE(refusal_of(zip({{"a/data.pkl", good}, {"a/data.pkl", good}})).find("in it twice"),
            std::string::npos);
  EXPECT_NE(refusal_of(zip({{"a/data.pkl", good}, {"a/byteorder", "big"}})).find("big-endian"),
            std::string::npos);
}

TEST_F(TorchFileTest, SurvivesEveryCutAndFlip) {
  const auto use = [&](const std::string& bytes) {
    const TorchFile file = TorchFile::open(test::write_file(path(), bytes));
    for (const std::string& name : file.names()) {
      try {
        values(file, name);
      } catch (const Error& error) {
        if (error.status() != GRAFT_UNSUPPORTED) throw;
      }
    }
  };
  for (const auto& [name, step] : {std::pair{"torch.bin", 29}, {"torch-state.bin", 5}}) {
    const test::Taken taken = test::damage(read_file(kGolden / name), use, step);
    EXPECT_EQ(taken.cuts, 0u);
    EXPECT_GT(taken.changes, 20u);  // padding, dates, the directory's fields that say nothing
  }
}

// The pickle alone, whose checksum would catch all of it.
TEST_F(TorchFileTest, SurvivesEveryChangeOfThePickle) {
  const std::string good = "\x80\x02}q\x01(" + text("w") + "q\x02" + kTwo + text("v") + kTwo + "u" +
                           "}" + text("m") + "Nsb.";
  ASSERT_EQ(refusal(good), "");
  test::damage(
      good,
      [&](const std::string& pickle) {
        const std::string bytes =
            zip({{"a/data.pkl", pickle}, {"a/data/0", "\0\0\x80\x3f\0\0\0\x40"s}});
        const TorchFile file = TorchFile::open(test::write_file(path(), bytes));
        for (const std::string& name : file.names()) file.tensor(name);
      },
      3);
}

}  // namespace
}  // namespace graft::core
