// tokenizer.model files; the seeds of the fuzz targets are small ones (tests/fuzz/make_corpus.py).
#include "tests/unit/text/support.hpp"

namespace graft::core {
namespace {

using namespace testing_text;
using Ids = std::vector<std::int32_t>;

std::string model_bytes(const std::string& name) {
  return read_file(fs::path(GRAFT_SOURCE_DIR) / "tests/fuzz/corpus/sentencepiece" / name);
}

Tokenizer load_model(const std::string& name, const Json& config = Json()) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", model_bytes(name));
  if (!config.is_null()) folder.write("tokenizer_config.json", config.dump());
  return Tokenizer::load(folder.path());
}

TEST(SentencePiece, BpeMergesByScore) {
  const Tokenizer tokenizer = load_model("bpe.model");
  EXPECT_EQ(tokenizer.ids("th", true), (Ids{1, 7}));
  EXPECT_EQ(tokenizer.ids("tth", false), (Ids{3, 4, 6}));
  EXPECT_EQ(tokenizer.ids("th note", false), (Ids{7, 9})) << "spaces at an end go";
  EXPECT_EQ(tokenizer.ids("th\n", false), (Ids{7, 8})) << "a byte of its own";
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.unk(), 0);
  EXPECT_EQ(tokenizer.decode({1, 7, 3, 4, 8}, true), "th t\n");
}

TEST(SentencePiece, UnigramTakesTheBestSum) {
  const Tokenizer tokenizer = load_model("unigram.model");
  EXPECT_EQ(tokenizer.ids("th", true), (Ids{7, 2})) << "EOS is its default";
  EXPECT_EQ(tokenizer.ids("  th   t ", false), (Ids{7, 3, 4})) << "single spaces";
}

TEST(SentencePiece, TheMapOfCharactersIsApplied) {
  // U+FB01 becomes "fi", both of which stand for its three bytes.
  const std::vector<Token> tokens = load_model("unigram.model").encode("t\uFB01", false);
  ASSERT_EQ(tokens.size(), 3u);
  EXPECT_EQ(tokens[2].id, 0) << "two unknown characters in one";
  EXPECT_EQ(tokens[2].begin, 1);
  EXPECT_EQ(tokens[2].end, 4);
}

TEST(SentencePiece, TheConfigurationDecidesAboutBosAndEos) {
  const Tokenizer tokenizer = load_model(
      "bpe.model", {{"add_bos_token", false}, {"add_eos_token", true}, {"pad_token", "note"}});
  EXPECT_EQ(tokenizer.ids("th", true), (Ids{7, 2}));
  EXPECT_EQ(tokenizer.pad(), 9);
}

TEST(SentencePiece, EveryCutAndFlipGivesAnErrorOrATokenizer) {
  std::string bytes = model_bytes("unigram.model");
  int loaded = 0, refused = 0;
  const auto attempt = [&](const std::string& changed) {
    const TemporaryFolder folder;
    folder.write("tokenizer.model", changed);
    try {
      Tokenizer::load(folder.path()).ids("th \uFB01 note", true);
      ++loaded;
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), GRAFT_E_INVALID) << error.what();
      ++refused;
    }
  };
  for (std::size_t at = 0; at < bytes.size(); at += at < 400 ? 3 : 211) {
    attempt(bytes.substr(0, at));
    for (const char flip : {'\x01', '\x10', '\x80'}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      attempt(changed);
    }
  }
  EXPECT_GT(loaded, 0);
  EXPECT_GT(refused, 0);
}

TEST(SpecialTokens, ComeFromTheConfigurationAndTheMap) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", tiny_json().dump());
  folder.write("tokenizer_config.json",
               R"({"eos_token":{"content":"<|im_end|>"},"pad_token":"<new>",
      "clean_up_tokenization_spaces":true,
      "added_tokens_decoder":{"511":{"content":"<note>","lstrip":false,"rstrip":false,"special":true}}})");
  folder.write("special_tokens_map.json", R"({"bos_token":"<|im_start|>","eos_token":"<note>"})");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer.eos(), 2) << "the configuration goes first";
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.pad(), 512) << "a name without a token makes one";
  EXPECT_TRUE(tokenizer.is_special(511)) << "flags of the configuration count";
  EXPECT_EQ(tokenizer.ids("<new>", false), (Ids{512}));
  EXPECT_TRUE(tokenizer.cleans_up_spaces());
  folder.write("tokenizer_config.json", R"({"added_tokens_decoder":{"x":{"content":"<note>"}}})");
  EXPECT_NE(error_of([&] {
              Tokenizer::load(folder.path());
            }).find("added_tokens_decoder has the key \"x\", which is no id"),
            std::string::npos);
}

}  // namespace
}  // namespace graft::core
