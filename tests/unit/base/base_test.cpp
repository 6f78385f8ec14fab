#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "core/base/digest.hpp"
#include "core/base/file.hpp"
#include "core/base/json_path.hpp"
#include "core/base/log.hpp"
#include "core/base/nearest.hpp"
#include "core/base/philox.hpp"
#include "core/base/size.hpp"
#include "core/base/utf8.hpp"
#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

TEST(DigestTest, MatchesTheExamplesOfFips180) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 pieces;
  pieces.add("a");
  pieces.add("");
  pieces.add("bc");
  EXPECT_EQ(pieces.hex(), sha256_hex("abc"));
}

TEST(NearestTest, CountsEdits) {
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("shcedule", "schedule"), 1u);  // a swap is one edit
  EXPECT_EQ(edit_distance("LR", "lr"), 0u);
  EXPECT_EQ(edit_distance(std::string(100000, 'a'), std::string(100000, 'b')), 256u);
}

TEST(NearestTest, OrdersCandidates) {
  const std::vector<std::string> names = {"v_proj", "q_proj", "down_proj", "lm_head"};
  EXPECT_EQ(nearest("q_porj", names, 2), (std::vector<std::string>{"q_proj", "v_proj"}));
  EXPECT_EQ(nearest("x", {}, 2).size(), 0u);
  EXPECT_EQ(meant("lmhead", names), "lm_head");
  EXPECT_EQ(meant("embedding", names), std::nullopt);
  EXPECT_EQ(hint("lmhead", names, "Known sites"), "Did you mean 'lm_head'?");
  EXPECT_EQ(hint("zzzzzzzzz", {"a", "b"}, "Known sites"), "Known sites: a, b.");
}

TEST(SizeTest, ReadsUnits) {
  EXPECT_EQ(parse_size("4GiB", "m"), std::uint64_t{4} << 30);
  EXPECT_EQ(parse_size("1.5 gib", "m"), std::uint64_t{3} << 29);
  EXPECT_EQ(parse_size("512MB", "m"), 512000000u);
  EXPECT_EQ(parse_size("3k", "m"), 3072u);
  EXPECT_EQ(parse_size("17", "m"), 17u);
  EXPECT_EQ(json_size(Json(4096), "m"), 4096u);
  EXPECT_EQ(json_size(Json("2KiB"), "m"), 2048u);
}

TEST(SizeTest, RefusesTheRest) {
  for (const char* text :
       {"", "GiB", "4XB", "4 Gi B", "-1", "1e3GB", "nan", "inf", "99999999TiB"}) {
    EXPECT_ERROR(parse_size(text, "train.memory_limit"), "train.memory_limit is \"");
  }
  EXPECT_ERROR(json_size(Json(true), "m"), "m is true, which is no size");
  EXPECT_ERROR(json_size(Json(-5), "m"), "m is -5");
}

TEST(SizeTest, PrintsThreeDigits) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(1023), "1023 B");
  EXPECT_EQ(size_text(1024), "1.00 KiB");
  EXPECT_EQ(size_text(1309965025), "1.22 GiB");
  EXPECT_EQ(size_text(12 << 20), "12.0 MiB");
  EXPECT_EQ(size_text((1 << 20) - 1), "1.00 MiB");
  EXPECT_EQ(size_text(~std::uint64_t{0}), "16.0 EiB");
}

TEST(JsonPathTest, SetsValuesOfEveryKind) {
  Json run = parse_json(R"({"train": {"lr": 1}, "methods": [{"rank": 4}]})", "run");
  set_path(run, "train.lr", "1e-4");
  set_path(run, "methods.0.rank", "16");
  set_path(run, "methods.1.type", "lora");
  set_path(run, "data.fields.text", "a b: {");
  set_path(run, "train.betas", "[0.9, 0.95]");
  set_path(run, "output.best", "true");
  set_path(run, "model.path", "\"135\"");
  EXPECT_EQ(
      to_text(run),
      R"({"train":{"lr":0.0001,"betas":[0.9,0.95]},"methods":[{"rank":16},{"type":"lora"}],)"
      R"("data":{"fields":{"text":"a b: {"}},"output":{"best":true},"model":{"path":"135"}})");
}

TEST(JsonPathTest, RefusesPathsThatLeadNowhere) {
  Json run = parse_json(R"({"a": [1, 2], "s": "x"})", "run");
  EXPECT_ERROR(set_path(run, "a.3", "1"), "--a.3: '3' is no place in a list of 2");
  EXPECT_ERROR(set_path(run, "a.x", "1"), "'x' is no place");
  EXPECT_ERROR(set_path(run, "a.-1", "1"), "'-1' is no place");
  EXPECT_ERROR(set_path(run, "s.t", "1"), "there is no 't' inside \"x\", which is a string");
  EXPECT_ERROR(set_path(run, "", "1"), "not a path of keys");
  EXPECT_ERROR(set_path(run, "a..b", "1"), "not a path of keys");
  std::string deep = "x";
  for (int i = 0; i < 100; ++i) deep += ".x";
  EXPECT_ERROR(set_path(run, deep, "1"), "not a path of keys");
  EXPECT_EQ(to_text(run["a"]), "[1,2]");
}

TEST(LogTest, PassesOnWhatIsLoudEnough) {
  std::string seen;
  const Log log([&](const LogRecord& r) { seen += cat(r.source, ':', r.message, ';'); },
                Level::kWarning);
  const Log copy = log;
  copy.info("data", "a");
  copy.warning("data", "b");
  log.error("train", "c");
  EXPECT_EQ(seen, "data:b;train:c;");
  EXPECT_FALSE(log.takes(Level::kDebug));
  Log().error("nobody", "hears");
}

TEST(LogTest, OneThreadAtATimeIsInTheSink) {
  int count = 0;  // not atomic: the log's lock guards it
  const Log log([&](const LogRecord&) { ++count; });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) log.info("t", "x");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 20000);
}

TEST(Utf8Test, FindsTheFirstBadByte) {
  EXPECT_EQ(utf8_error("a\xC3\xA9"), 3u);
  EXPECT_EQ(utf8_error("ab\xFF"), 2u);
  EXPECT_EQ(utf8_error("a\xE2\x82"), 1u);
  EXPECT_EQ(utf8_cut("a\xC3\xA9z", 2), 1u);
  EXPECT_EQ(utf8_cut("a\xC3\xA9z", 3), 3u);
}

// Known answers of the authors' library: Random123 1.14.0, tests/kat_vectors.
TEST(PhiloxTest, MatchesTheKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, EveryArgumentMakesAnotherStream) {
  std::set<std::uint64_t> seen;
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
    seen.insert({random_bits(7 + at, 7, 7), random_bits(7, 7 + at, 7), random_bits(7, 7, 7 + at)});
  }
  EXPECT_EQ(seen.size(), 7u);  // the one with nothing added, and six others
}

TEST(PhiloxTest, BoundedNumbersStayBelow) {
  int counts[3] = {};
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const std::uint64_t pick = random_below(3, random_bits(1, 2, i));
    ASSERT_LT(pick, 3u);
    ++counts[pick];
  }
  for (const int count : counts) EXPECT_NEAR(count, 1000, 150);
  EXPECT_EQ(random_below(5, ~std::uint64_t{0}), 4u);
  EXPECT_LT(random_unit(~std::uint64_t{0}), 1.0);
}

}  // namespace
}  // namespace graft::core
