#include "core/text/tokenizer.hpp"

#include <cstring>

#include "core/text/detokenizer.hpp"
#include "core/text/utf8.hpp"
#include "tests/unit/text/support.hpp"

namespace graft::core {
namespace {

using namespace testing_text;

class TokenizationGolden : public testing::TestWithParam<Json> {};

TEST_P(TokenizationGolden, EqualsTokenizers) {
  const Json& variant = GetParam();
  const Tokenizer tokenizer = load_patched(variant["patch"]);
  for (const Json& golden : variant["cases"]) {
    const std::string text = golden["text"];
    std::vector<std::int32_t> ids;
    Json offsets = Json::array();
    for (const Token& token : tokenizer.encode(text, variant["special"])) {
      ids.push_back(token.id);
      offsets.push_back({token.begin, token.end});
    }
    EXPECT_EQ(Json(ids), golden["ids"]) << text;
    EXPECT_EQ(offsets, golden["offsets"]) << text;
    EXPECT_EQ(tokenizer.decode(ids, false), golden["decoded"]) << text;
    if (!ids.empty()) ids.erase(ids.begin());
    EXPECT_EQ(tokenizer.decode(ids, true), golden["skipped"]) << text;
  }
}

std::vector<Json> variants() {
  return Json::parse(read_file(golden("tokenization.json"))).get<std::vector<Json>>();
}

std::string name_of(const testing::TestParamInfo<Json>& variant) {
  return variant.param["name"];
}

INSTANTIATE_TEST_SUITE_P(Variants, TokenizationGolden, testing::ValuesIn(variants()), name_of);

TEST(AddedTokens, AreNotThereAgainInWhiteSpaceThatTheyTook) {
  const Json file = {{"model", {{"type", "WordLevel"}, {"unk_token", "u"}, {"vocab", {{"u", 0}}}}},
                     {"added_tokens",
                      {{{"id", 1},
                        {"content", "  "},
                        {"lstrip", true},
                        {"rstrip", true},
                        {"normalized", false}}}}};
  EXPECT_EQ(load_text(file.dump()).ids("a       b  ", false),
            (std::vector<std::int32_t>{0, 1, 0, 1}));
}

TEST(Decoder, SequencesMayBeEmptyOrInSequences) {
  const auto decoded = [](const char* decoder, const char* a = "\u2581a", const char* b = "b") {
    const Json model = {{"type", "WordLevel"}, {"unk_token", a}, {"vocab", {{a, 0}, {b, 1}}}};
    return load_text(Json({{"model", model}, {"decoder", Json::parse(decoder)}}).dump())
        .decode({0, 1}, false);
  };
  EXPECT_EQ(decoded(R"({"type": "Sequence", "decoders": []})"), "\u2581ab");
  EXPECT_EQ(decoded(R"({"type": "Sequence", "decoders": [{"type": "Sequence", "decoders": []}]})"),
            "\u2581ab");
  EXPECT_EQ(decoded(R"({"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
      {"type": "Sequence", "decoders": [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]}]})"),
            "ab");
  // Every piece begins with nothing.
  EXPECT_EQ(decoded(R"({"type": "WordPiece", "prefix": "", "cleanup": false})", "a"), "ab");
}

TEST(Tokenizer, TellsItsSpecialTokens) {
  const Tokenizer tokenizer = Tokenizer::load(golden("tiny-tokenizer"));
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_EQ(tokenizer.pad(), 0);
  EXPECT_EQ(tokenizer.unk(), 0);
  EXPECT_TRUE(tokenizer.is_special(1));
  EXPECT_FALSE(tokenizer.is_special(3));
  EXPECT_FALSE(tokenizer.is_special(511)) << "<note> is added, but not special";
  EXPECT_EQ(tokenizer.size(), 512);
  EXPECT_EQ(tokenizer.piece(2), "<|im_end|>");
  EXPECT_EQ(tokenizer.id_of("<note>"), 511);
  EXPECT_EQ(tokenizer.id_of("no such piece"), std::nullopt);
}

TEST(Tokenizer, ReplacesInvalidUtf8AndKeepsOffsetsOfTheInput) {
  const Tokenizer tokenizer = Tokenizer::load(golden("tiny-tokenizer"));
  // A lone byte, a cut-off character (one U+FFFD), an overlong form (two).
  const std::string text =
      "a\xFF"
      "b\xE4\xBD"
      "c\xC0\xAF";
  const std::vector<Token> tokens = tokenizer.encode(text, false);
  EXPECT_EQ(tokenizer.decode(tokenizer.ids(text, false), false), "a\uFFFDb\uFFFDc\uFFFD\uFFFD");
  EXPECT_EQ(tokenizer.ids(text, false), tokenizer.ids(utf8_lossy(text), false));
  EXPECT_EQ(tokens.front().begin, 0);
  EXPECT_EQ(tokens.back().begin, 7);
  EXPECT_EQ(tokens.back().end, 8);
  bool cut_off = false;
  for (const Token& token : tokens) cut_off |= token.begin == 3 && token.end == 5;
  EXPECT_TRUE(cut_off);
}

TEST(Tokenizer, TellsItsTextTokenByToken) {
  const Tokenizer tokenizer = Tokenizer::load(golden("tiny-tokenizer"));
  const std::string text = "caf\u00e9 \u4f60\u597d \U0001f600\n";
  Detokenizer stream(tokenizer);
  std::string joined;
  for (const std::int32_t id : tokenizer.ids("<|im_start|>" + text, false)) {
    const std::string part = stream.push(id);
    EXPECT_TRUE(is_utf8(part)) << "half a character";
    joined += part;
  }
  EXPECT_EQ(joined + stream.finish(), text);
}

TEST(Tokenizer, StreamsWhatItDecodesThoughTokensComeInAnyOrder) {
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", "e"}}}, {"content", " "}};
  const Json sequence = {{"type", "Sequence"},
                         {"decoders",
                          {replace,
                           {{"type", "ByteFallback"}},
                           {{"type", "Fuse"}},
                           {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  const Json bytes = {
      {"vocab", {{"<note>", 511}, {"<0xE4>", 512}, {"<0xBD>", 513}, {"<0xA0>", 514}}}};
  for (const Json& decoder : {Json({{"type", "ByteLevel"}}), sequence,
                              Json({{"type", "WordPiece"}, {"prefix", "a"}, {"cleanup", true}}),
                              Json({{"type", "Metaspace"}, {"replacement", "e"}}),
                              Json({{"type", "BPEDecoder"}, {"suffix", "e"}}), Json()}) {
    const Tokenizer tokenizer = load_patched({{"decoder", decoder}, {"model", bytes}});
    std::uint32_t random = 1;
    for (int round = 0; round < 300; ++round) {
      std::vector<std::int32_t> ids;
      for (int i = 0; i < 12; ++i) {
        random = random * 1664525u + 1013904223u;
        const std::uint32_t draw = random >> 16;
        ids.push_back(static_cast<std::int32_t>(round % 2 == 0 ? draw % 512 : 504 + draw % 11));
      }
      Detokenizer stream(tokenizer, false);
      std::string text;
      for (const std::int32_t id : ids) text += stream.push(id);
      EXPECT_EQ(text + stream.finish(), tokenizer.decode(ids, false)) << decoder.dump();
    }
  }
}

TEST(Tokenizer, DecodesHalfACharacterAsReplacement) {
  const Tokenizer tokenizer = Tokenizer::load(golden("tiny-tokenizer"));
  std::vector<std::int32_t> ids = tokenizer.ids("\U0001f600", false);
  ASSERT_GT(ids.size(), 1u);
  ids.pop_back();
  EXPECT_EQ(tokenizer.decode(ids, false), "\uFFFD");
}

TEST(Tokenizer, RefusesIdsWithoutAToken) {
  const Tokenizer tokenizer = Tokenizer::load(golden("tiny-tokenizer"));
  EXPECT_EQ(error_of([&] { tokenizer.decode({512}, false); }),
            "the tokenizer has no token with the id 512; ids are below 512.");
  error_of([&] { tokenizer.decode({-1}, true); });
  error_of([&] { Detokenizer(tokenizer).push(1 << 30); });
}

TEST(Tokenizer, SaysThatAFolderHoldsNone) {
  const TemporaryFolder folder;
  EXPECT_NE(error_of([&] { Tokenizer::load(folder.path()); }, GRAFT_E_NOT_FOUND)
                .find("holds no tokenizer.json and no tokenizer.model"),
            std::string::npos);
}

TEST(Tokenizer, TakesMergesInTheOlderForm) {
  Json file = tiny_json();
  for (Json& merge : file["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  file["model"]["merges"].insert(file["model"]["merges"].begin(), "#version: 0.2");
  const Tokenizer old = load_text(file.dump());
  const Tokenizer now = Tokenizer::load(golden("tiny-tokenizer"));
  EXPECT_EQ(old.ids("The baker bakes bread.", false), now.ids("The baker bakes bread.", false));
}

// Quadratic merging or rescanning would take minutes here.
TEST(Tokenizer, IsLinearInTheLengthOfARun) {
  const Tokenizer tokenizer =
      load_patched({{"normalizer", {{"type", "NFC"}}},
                    {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}});
  for (const std::string unit : {"a", " ", "e", "\u0301", "\u0323\u0301", "<|im_", "\n \t"}) {
    std::string text;
    while (text.size() < (1u << 20)) text += unit;
    EXPECT_GT(tokenizer.encode(text, false).size(), 0u);
  }
}

TEST(Tokenizer, EqualsTheSharedGoldensOfQwen3) {
  SHARED_DATA_OR_SKIP(data);
  const Tokenizer tokenizer = Tokenizer::load(data / "tokenizers/qwen3");
  EXPECT_EQ(tokenizer.ids("a <|endoftext|> b", true),
            (std::vector<std::int32_t>{64, 220, 151643, 293}));
  EXPECT_EQ(tokenizer.ids("UPPER\u00c9 \u0130stanbul \u1e9e", true),
            (std::vector<std::int32_t>{3124, 9654, 26789, 129514, 220, 149975}));
  EXPECT_EQ(tokenizer.ids("a\u0085b", true), (std::vector<std::int32_t>{64, 126, 227, 65}));
  EXPECT_EQ(tokenizer.ids("\U0001f468\u200d\U0001f469\u200d\U0001f467", true),
            (std::vector<std::int32_t>{145367, 378, 235, 145233, 378, 235, 145665}));
}

TEST(Tokenizer, EqualsTheSharedGoldensOfMistral) {
  SHARED_DATA_OR_SKIP(data);
  const Tokenizer tokenizer = Tokenizer::load(data / "tokenizers/mistral-7b");
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(tokenizer.ids("<s>a</s>", false), (Ids{1, 264, 2}));
  EXPECT_EQ(tokenizer.ids("Hello <s>.", false), (Ids{22557, 28705, 1, 842}));
  EXPECT_EQ(tokenizer.ids("\u1100\u1161\u11a8", false),
            (Ids{28705, 228, 135, 131, 228, 136, 164, 228, 137, 171}));
  EXPECT_EQ(tokenizer.ids("\n\n  \n x", false), (Ids{28705, 13, 13, 259, 13, 1318}));
  EXPECT_EQ(tokenizer.ids("a\u2581b", false), (Ids{264, 287}));
  EXPECT_EQ(tokenizer.ids("x", true).front(), 1);
  EXPECT_EQ(tokenizer.decode({1, 264, 2}, true), "a");
}

/// A map of characters, in base64: "a" becomes "X", and so does a cluster of less than six bytes that begins with it.
std::string map_of_a() {
  std::vector<std::uint32_t> units(1024);
  constexpr std::uint32_t at = 256 ^ 'a', leaf = 512;
  units[0] = 256 << 10;
  units[at] = 'a' | ((at ^ leaf) << 10) | (1 << 8);
  units[leaf] = std::uint32_t{1} << 31;
  const auto size = static_cast<std::uint32_t>(4 * units.size());
  std::string raw(4 + size, '\0');
  std::memcpy(raw.data(), &size, 4);
  std::memcpy(raw.data() + 4, units.data(), size);
  raw += std::string_view("X\0", 2);
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < raw.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k)
      three = (three << 8) | (i + k < raw.size() ? static_cast<unsigned char>(raw[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k)
      out += i + k > raw.size() ? '=' : digits[(three >> (18 - 6 * k)) & 63];
  }
  return out;
}

TEST(Normalizer, KnowsTheClustersOfNewerMarks) {
  const Tokenizer tokenizer = load_text(
      Json{{"normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", map_of_a()}}},
           {"pre_tokenizer", {{"type", "FixedLength"}, {"length", 1}}},
           {"model",
            {{"type", "WordLevel"}, {"unk_token", "u"}, {"vocab", {{"u", 0}, {"X", 1}, {"b", 2}}}}}}
          .dump());
  const auto ids = [&](std::string_view text) { return tokenizer.ids(text, false); };
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(ids("ab"), (Ids{1, 2}));
  EXPECT_EQ(ids("a\u0301b"), (Ids{1, 2})) << "the whole cluster is one character";
  EXPECT_EQ(ids("a\u1ae8b"), (Ids{1, 2})) << "a mark of Unicode 17";
  EXPECT_EQ(ids("a\u1ae8\u0301b"), (Ids{1, 0, 0, 2})) << "six bytes are no short cluster";
  EXPECT_EQ(ids("\U000113d1a\u0301b"), (Ids{0, 1, 0, 2})) << "goes with what follows";
}

TEST(PreTokenizer, SplitsAtPlacesToo) {
  const auto ends = [](const char* behavior) {
    const Tokenizer tokenizer = load_text(Json{
        {"model", {{"type", "WordLevel"}, {"unk_token", "u"}, {"vocab", {{"u", 0}}}}},
        {"pre_tokenizer",
         {{"type", "Split"},
          {"pattern", {{"Regex", "(?=[A-Z])|\\d"}}},
          {"behavior", behavior},
          {"invert", false}}}}.dump());
    std::vector<std::size_t> out;
    for (const Token& token : tokenizer.encode("aBC12dE", false)) out.push_back(token.end);
    return out;
  };
  using Ends = std::vector<std::size_t>;
  EXPECT_EQ(ends("Isolated"), (Ends{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(ends("Removed"), (Ends{1, 2, 3, 6, 7}));
  EXPECT_EQ(ends("MergedWithPrevious"), (Ends{1, 2, 4, 5, 6, 7}));
  EXPECT_EQ(ends("MergedWithNext"), (Ends{1, 2, 3, 4, 6, 7}));
  EXPECT_EQ(ends("Contiguous"), (Ends{1, 2, 3, 5, 6, 7}));
}

}  // namespace
}  // namespace graft::core
