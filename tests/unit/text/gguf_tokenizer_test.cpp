#include <cstring>

#include "core/text/chat_template.hpp"
#include "tests/unit/text/support.hpp"

namespace graft::core {
namespace {

using namespace testing_text;

/// Writes the metadata part of a .gguf file, version 3, without tensors.
class Metadata {
 public:
  void text(const std::string& key, const std::string& value) {
    begin(key, 8);
    put_text(value);
  }
  void integer(const std::string& key, std::uint32_t value) {
    begin(key, 4);
    put(value);
  }
  void flag(const std::string& key, bool value) {
    begin(key, 7);
    body_ += static_cast<char>(value ? 1 : 0);
  }
  void texts(const std::string& key, const std::vector<std::string>& values) {
    begin(key, 9);
    put(std::uint32_t{8});
    put(static_cast<std::uint64_t>(values.size()));
    for (const std::string& value : values) put_text(value);
  }
  void integers(const std::string& key, const std::vector<std::int32_t>& values) {
    begin(key, 9);
    put(std::uint32_t{5});
    put(static_cast<std::uint64_t>(values.size()));
    for (const std::int32_t value : values) put(value);
  }
  void floats(const std::string& key, const std::vector<float>& values) {
    begin(key, 9);
    put(std::uint32_t{6});
    put(static_cast<std::uint64_t>(values.size()));
    for (const float value : values) put(value);
  }
  std::string file() const {
    Metadata head;
    head.body_ = "GGUF";
    head.put(std::uint32_t{3});
    head.put(std::uint64_t{0});
    head.put(count_);
    std::string out = head.body_ + body_;
    out.resize((out.size() + 31) / 32 * 32);
    return out;
  }

 private:
  template <class T>
  void put(T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    body_.append(bytes, sizeof value);
  }
  void put_text(const std::string& text) {
    put(static_cast<std::uint64_t>(text.size()));
    body_ += text;
  }
  void begin(const std::string& key, std::uint32_t type) {
    put_text(key);
    put(type);
    ++count_;
  }
  std::string body_;
  std::uint64_t count_ = 0;
};

/// The tiny tokenizer as GGUF describes it, with <note> among the tokens that a user defined.
Metadata tiny_metadata(const std::string& pre) {
  const Json file = tiny_json();
  std::vector<std::string> tokens(512), merges;
  std::vector<std::int32_t> types(512, 1);
  for (const auto& [piece, id] : file["model"]["vocab"].items()) {
    tokens[id.get<std::size_t>()] = piece;
  }
  for (const Json& token : file["added_tokens"]) {
    const auto id = token["id"].get<std::size_t>();
    tokens[id] = token["content"];
    types[id] = token["special"] ? 3 : 4;
  }
  for (const Json& merge : file["model"]["merges"]) {
    merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  Metadata out;
  out.text("tokenizer.ggml.model", "gpt2");
  if (!pre.empty()) out.text("tokenizer.ggml.pre", pre);
  out.texts("tokenizer.ggml.tokens", tokens);
  out.integers("tokenizer.ggml.token_type", types);
  out.texts("tokenizer.ggml.merges", merges);
  out.integer("tokenizer.ggml.bos_token_id", 1);
  out.integer("tokenizer.ggml.eos_token_id", 2);
  out.integer("tokenizer.ggml.padding_token_id", 0);
  return out;
}

Tokenizer load_metadata(const Metadata& metadata) {
  const TemporaryFolder folder;
  return Tokenizer::load(folder.write("tiny.gguf", metadata.file()));
}

/// What stands in the goldens for a variant, in ids; without those of the frame.
void expect_ids_of(const std::string& variant, const Tokenizer& tokenizer) {
  for (const Json& golden : Json::parse(read_file(golden("tokenization.json")))) {
    if (golden["name"] != variant) continue;
    for (const Json& c : golden["cases"]) {
      const std::string text = c["text"];
      // GGUF has no place for <note>'s stripping of white space.
      if (text.find("<note>") != text.npos) continue;
      Json ids = c["ids"];
      if (variant == "llama3") {
        ids.erase(ids.begin(), ids.begin() + 2);
        ids.erase(ids.end() - 1);
      }
      EXPECT_EQ(Json(tokenizer.ids(text, false)), ids) << text;
    }
  }
}

TEST(GgufTokenizer, SmollmSplitsDigitsOneByOne) {
  expect_ids_of("as_it_is", load_metadata(tiny_metadata("smollm")));
}
TEST(GgufTokenizer, Qwen2ComposesAndSplitsDigitsOneByOne) {
  expect_ids_of("qwen2", load_metadata(tiny_metadata("qwen2")));
}
TEST(GgufTokenizer, LlamaBpeSplitsDigitsInThreesAndIgnoresMerges) {
  expect_ids_of("llama3", load_metadata(tiny_metadata("llama-bpe")));
}

TEST(GgufTokenizer, Gpt2SplitsAsItsJsonFileDoes) {
  const Tokenizer gpt2 = load_metadata(tiny_metadata("gpt-2"));
  const Tokenizer json =
      load_patched({{"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}});
  for (const char* text : {"it's 1234 'LL\n\n x", "a\r\nb"}) {
    EXPECT_EQ(gpt2.ids(text, true), json.ids(text, true));
  }
  EXPECT_TRUE(gpt2.notes().empty());
}

TEST(GgufTokenizer, AFileThatDoesNotNameItsSplitIsNoted) {
  const Tokenizer plain = load_metadata(tiny_metadata(""));
  EXPECT_EQ(plain.ids("a1234", false), load_metadata(tiny_metadata("default")).ids("a1234", false));
  ASSERT_EQ(plain.notes().size(), 1u);
  EXPECT_NE(plain.notes()[0].find("does not name its pre-tokenizer"), std::string::npos);
}

/// A SentencePiece vocabulary in which scores, not the order of ids, decide.
Metadata pieces_metadata(const std::string& model) {
  Metadata out;
  out.text("tokenizer.ggml.model", model);
  out.texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "\u2581", "a",
                                      "b", "c", "ab", "bc", "\u2581a", "\u2581ab", "<u>"});
  out.floats("tokenizer.ggml.scores", {0, 0, 0, 0, 0, -5, -6, -7, -8, -3, -2, -4, -1, 0});
  out.integers("tokenizer.ggml.token_type", {2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 4});
  return out;
}

TEST(GgufTokenizer, LlamaMergesByScoreAndFallsBackToBytes) {
  const Tokenizer tokenizer = load_metadata(pieces_metadata("llama"));
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(tokenizer.ids("ab", true), (Ids{1, 12})) << "BOS is its default";
  EXPECT_EQ(tokenizer.ids("abc", false), (Ids{11, 10})) << "bc has the best score";
  EXPECT_EQ(tokenizer.ids("b\u00e9", false), (Ids{5, 7, 3, 4}));
  EXPECT_EQ(tokenizer.ids("a z", false), (Ids{11, 5, 0}));
  EXPECT_EQ(tokenizer.ids("a<u>b</s>", false), (Ids{11, 13, 5, 7, 2}));
  EXPECT_EQ(tokenizer.decode({1, 12, 5, 7, 3, 4}, true), "ab b\u00e9");
  Metadata plain = pieces_metadata("llama");
  plain.flag("tokenizer.ggml.add_space_prefix", false);
  plain.flag("tokenizer.ggml.add_bos_token", false);
  EXPECT_EQ(load_metadata(plain).ids("ab a", true), (Ids{9, 11}));
}

TEST(GgufTokenizer, T5TakesTheBestSumOfScores) {
  Metadata metadata = pieces_metadata("t5");
  metadata.integer("tokenizer.ggml.eos_token_id", 2);
  metadata.integer("tokenizer.ggml.unknown_token_id", 0);
  metadata.flag("tokenizer.ggml.remove_extra_whitespaces", true);
  const Tokenizer tokenizer = load_metadata(metadata);
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(tokenizer.ids("abc", true), (Ids{11, 10, 2})) << "-4 - 2 beats -1 - 8";
  EXPECT_EQ(tokenizer.ids("  ab   ab ", false), (Ids{12, 12}));
  EXPECT_EQ(tokenizer.ids("zz", false), (Ids{5, 0})) << "unknown characters are one token";
  EXPECT_EQ(tokenizer.ids("b\u00e9", false), (Ids{5, 7, 3, 4}));
}

TEST(GgufTokenizer, BertWritesWordsWithoutTheirMark) {
  Metadata metadata;
  metadata.text("tokenizer.ggml.model", "bert");
  metadata.texts("tokenizer.ggml.tokens",
                 {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581the", "\u2581ri", "ver", "\u2581,"});
  metadata.integers("tokenizer.ggml.token_type", {3, 3, 3, 3, 1, 1, 1, 1});
  metadata.integer("tokenizer.ggml.unknown_token_id", 1);
  metadata.integer("tokenizer.ggml.cls_token_id", 2);
  metadata.integer("tokenizer.ggml.seperator_token_id", 3);
  const Tokenizer tokenizer = load_metadata(metadata);
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(tokenizer.ids("Th\u00e9 RIVER,x", true), (Ids{2, 4, 5, 6, 7, 1, 3}));
  EXPECT_EQ(tokenizer.piece(6), "##ver");
  EXPECT_EQ(tokenizer.decode({2, 4, 5, 6, 7, 3}, true), "the river,");
  std::vector<std::int32_t> types;
  for (const Token& token : tokenizer.encode_pair("the", "river", true))
    types.push_back(token.type);
  EXPECT_EQ(types, (Ids{0, 0, 0, 1, 1, 1}));
}

TEST(GgufTokenizer, KnowsItsSpecialTokens) {
  const Tokenizer tokenizer = load_metadata(tiny_metadata("smollm"));
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_EQ(tokenizer.pad(), 0);
  EXPECT_EQ(tokenizer.unk(), std::nullopt);
  EXPECT_TRUE(tokenizer.is_special(1));
  EXPECT_FALSE(tokenizer.is_special(511)) << "defined by a user, not control";
  EXPECT_EQ(tokenizer.size(), 512);
}

TEST(GgufTokenizer, AddsBosAndEosAsItSays) {
  const auto framed = [](const std::string& pre, int bos, int eos) {
    Metadata metadata = tiny_metadata(pre);
    if (bos >= 0) metadata.flag("tokenizer.ggml.add_bos_token", bos == 1);
    if (eos >= 0) metadata.flag("tokenizer.ggml.add_eos_token", eos == 1);
    const Tokenizer tokenizer = load_metadata(metadata);
    EXPECT_TRUE(tokenizer.ids("", false).empty());
    return tokenizer.ids("", true);
  };
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(framed("smollm", -1, -1), Ids{});
  EXPECT_EQ(framed("smollm", 1, 1), (Ids{1, 2}));
  EXPECT_EQ(framed("llama-bpe", -1, -1), Ids{1}) << "its default";
  EXPECT_EQ(framed("llama-bpe", 0, -1), Ids{});
}

TEST(GgufTokenizer, AWholeTokenizerJsonInsideWins) {
  Metadata metadata = tiny_metadata("no such name");
  metadata.text("tokenizer.huggingface.json", tiny_json().dump());
  EXPECT_EQ(load_metadata(metadata).ids("The river 12", false),
            Tokenizer::load(golden("tiny-tokenizer")).ids("The river 12", false));
}

TEST(GgufTokenizer, RefusesByName) {
  EXPECT_NE(error_of([] {
              load_metadata(tiny_metadata("gpt-9"));
            }).find("the pre-tokenizer 'gpt-9' (tokenizer.ggml.pre) is not supported"),
            std::string::npos);
  Metadata rwkv;
  rwkv.text("tokenizer.ggml.model", "rwkv");
  EXPECT_NE(error_of([&] { load_metadata(rwkv); }).find("the tokenizer 'rwkv'"), std::string::npos);
  Metadata none;
  none.text("general.architecture", "llama");
  EXPECT_NE(error_of([&] { load_metadata(none); }, GRAFT_E_NOT_FOUND).find("tokenizer.ggml.model"),
            std::string::npos);
}

TEST(GgufTokenizer, RefusesWrongMetadata) {
  const auto base = [](std::vector<std::string> tokens, std::vector<std::string> merges) {
    Metadata out;
    out.text("tokenizer.ggml.model", "gpt2");
    out.text("tokenizer.ggml.pre", "smollm");
    out.texts("tokenizer.ggml.tokens", tokens);
    out.texts("tokenizer.ggml.merges", merges);
    return out;
  };
  const auto message = [](const Metadata& m) { return error_of([&] { load_metadata(m); }); };
  EXPECT_NE(message(base({"a", "a"}, {})).find("'a' has two ids"), std::string::npos);
  EXPECT_NE(message(base({"a", "b"}, {"a b"})).find("needs 'ab'"), std::string::npos);
  EXPECT_NE(message(base({"a", "b"}, {"ab"})).find("must be two pieces"), std::string::npos);
  EXPECT_NE(message(base({"a", "b"}, {""})).find("must be two pieces"), std::string::npos);
  Metadata bos = base({"a"}, {});
  bos.integer("tokenizer.ggml.bos_token_id", 7);
  EXPECT_NE(message(bos).find("bos_token_id = 7 is no token"), std::string::npos);
  Metadata types = base({"a"}, {});
  types.integers("tokenizer.ggml.token_type", {1, 3});
  EXPECT_NE(message(types).find("2 entries for 1 tokens"), std::string::npos);
}

TEST(GgufTokenizer, BringsItsChatTemplate) {
  Metadata metadata = tiny_metadata("smollm");
  metadata.text("tokenizer.chat_template", "{{ bos_token }}|{{ eos_token }}|{{ unk_token }}");
  const TemporaryFolder folder;
  const auto loaded = ChatTemplate::load(folder.write("tiny.gguf", metadata.file()));
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->render(Json::object()), "<|im_start|>|<|im_end|>|");
  EXPECT_FALSE(
      ChatTemplate::load(folder.write("none.gguf", tiny_metadata("smollm").file())).has_value());
}

}  // namespace
}  // namespace graft::core
