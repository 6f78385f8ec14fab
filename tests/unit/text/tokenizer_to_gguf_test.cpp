#include "core/text/tokenizer_to_gguf.hpp"

#include <gtest/gtest.h>

#include "core/text/chat_template.hpp"
#include "core/text/tokenizer.hpp"
#include "tests/unit/base/temporary_folder.hpp"

namespace graft::core {
namespace {

const fs::path tiny = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/tiny-tokenizer";

class TokenizerToGguf : public testing::Test {
 protected:
  /// The tiny tokenizer with keys of its tokenizer.json replaced.
  fs::path folder(const Json& change) const {
    Json file = parse_json(read_file(tiny / "tokenizer.json"), "tiny");
    for (Json& token : file["added_tokens"])
      token["lstrip"] = token["rstrip"] = token["single_word"] = false;
    for (Json& token : file["added_tokens"]) token["normalized"] = false;
    file.merge_patch(change);
    write_file_atomically(place_.path() / "tokenizer.json", file.dump());
    fs::copy_file(tiny / "tokenizer_config.json", place_.path() / "tokenizer_config.json",
                  fs::copy_options::overwrite_existing);
    return place_.path();
  }
  Gguf converted(const fs::path& from, std::vector<std::string>* notes = nullptr) const {
    GgufWriter writer;
    const auto told = add_tokenizer(writer, from, 520, place_.path() / "scratch.gguf");
    if (notes) *notes = told;
    EXPECT_FALSE(fs::exists(place_.path() / "scratch.gguf"));
    writer.write(place_.path() / "t.gguf");
    return Gguf::open(place_.path() / "t.gguf");
  }
  void expect_same_tokens(const fs::path& from) const {
    const Tokenizer a = Tokenizer::load(from), b = Tokenizer::load(place_.path() / "t.gguf");
    for (const char* text :
         {"The year 1984, don't?", "<|im_start|>user\nHi<|im_end|>", " x  y\n"}) {
      EXPECT_EQ(a.ids(text, true), b.ids(text, true)) << text;
    }
    EXPECT_EQ(a.bos(), b.bos());
    EXPECT_EQ(a.eos(), b.eos());
  }

  test::TemporaryFolder place_;
};

Json split(const char* pattern) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"},
             {"pattern", {{"Regex", pattern}}},
             {"behavior", "Isolated"},
             {"invert", false}},
            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
}

TEST_F(TokenizerToGguf, NamesThePreTokenizer) {
  constexpr const char* llama =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr const char* qwen =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const Json gpt2 = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  const std::pair<Json, const char*> cases[] = {
      {Json::object(), "smollm"},
      {{{"pre_tokenizer", gpt2}}, "gpt-2"},
      {{{"pre_tokenizer", split(llama)}, {"model", {{"ignore_merges", true}}}}, "llama-bpe"},
      {{{"pre_tokenizer", split(llama)}}, "smaug-bpe"},
      {{{"pre_tokenizer", split(qwen)}, {"normalizer", {{"type", "NFC"}}}}, "qwen2"},
      {{{"pre_tokenizer", split(qwen)}}, "stablelm2"}};
  for (const auto& [change, name] : cases) {
    const fs::path from = folder(change);
    std::vector<std::string> notes;
    const Gguf file = converted(from, &notes);
    EXPECT_EQ(file.text("tokenizer.ggml.pre"), name);
    EXPECT_FALSE(file.has("tokenizer.huggingface.json")) << name;
    EXPECT_TRUE(notes.empty()) << name;
    EXPECT_EQ(file.texts("tokenizer.ggml.tokens").size(), 520u);
    EXPECT_EQ(file.texts("tokenizer.ggml.tokens").back(), "[PAD519]");
    EXPECT_EQ(file.integers("tokenizer.ggml.token_type").back(), 5);
    EXPECT_EQ(file.integers("tokenizer.ggml.token_type").front(), 3);
    expect_same_tokens(from);
    EXPECT_EQ(ChatTemplate::load(place_.path() / "t.gguf")->source(),
              ChatTemplate::load(from)->source());
  }
}

TEST_F(TokenizerToGguf, KeepsTheFileOfOneThatGgufHasNoFormFor) {
  const fs::path from = folder({{"pre_tokenizer", split("[aeiou]+|.")}});
  std::vector<std::string> notes;
  const Gguf file = converted(from, &notes);
  EXPECT_TRUE(file.has("tokenizer.huggingface.json"));
  ASSERT_EQ(notes.size(), 1u);
  expect_same_tokens(from);
  EXPECT_EQ(file.integer("tokenizer.ggml.eos_token_id"), 2);
}

TEST_F(TokenizerToGguf, SaysWhereThereIsNone) {
  std::vector<std::string> notes;
  converted(place_.path(), &notes);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("no tokenizer"), std::string::npos);
}

}  // namespace
}  // namespace graft::core
