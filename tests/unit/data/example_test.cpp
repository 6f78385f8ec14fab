#include "core/data/example.hpp"

#include <gtest/gtest.h>

#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/data/fake_encoder.hpp"

namespace graft::core {
namespace {

using fake::shown;

// A text without loss: a dot for each of its tokens.
std::string dots(std::string_view text) {
  return std::string(fake::encode(text, false).size(), '.');
}

Example encode(Format format, const char* line, const Encoder& encoder = fake::encoder()) {
  return encode_line(parse_json(line, "line"), {format, {}, true}, encoder, "f:3");
}

TEST(ExampleTest, TextIsLabelledThroughoutAndEndsWithEos) {
  const Example example = encode(Format::kText, R"({"text": "ab"})");
  EXPECT_EQ(shown(example.ids), "<b>ab<e>");
  EXPECT_EQ(example.labels, example.ids);
  EXPECT_EQ(example.supervised(), 3);  // the first token is never predicted
}

TEST(ExampleTest, AnEosThatIsThereIsNotDoubled) {
  EXPECT_EQ(shown(encode(Format::kText, R"({"text": "a<e>"})").ids), "<b>a<e>");
  Encoder none = fake::encoder();
  none.eos.reset();
  EXPECT_EQ(shown(encode(Format::kText, R"({"text": "a"})", none).ids), "<b>a");
}

TEST(ExampleTest, CompletionHasItsLossOnTheCompletion) {
  const Example example = encode(Format::kCompletion, R"({"prompt": "12", "completion": "345"})");
  EXPECT_EQ(shown(example.ids), "<b>12345<e>");
  EXPECT_EQ(shown(example.labels), "...345<e>");
  EXPECT_EQ(example.supervised(), 4);
}

TEST(ExampleTest, ATokenOverTheSeamCountsAsCompletion) {
  const Example example = encode(Format::kCompletion, R"({"prompt": "1x", "completion": "y"})");
  EXPECT_EQ(shown(example.ids), "<b>1xy<e>");
  EXPECT_EQ(shown(example.labels), "..xy<e>");
}

TEST(ExampleTest, AnEmptyPromptIsAllCompletion) {
  const Example example = encode(Format::kCompletion, R"({"prompt": "", "completion": "a"})");
  EXPECT_EQ(shown(example.labels), "<b>a<e>");
}

TEST(ExampleTest, ScoringLeavesEosOut) {
  const Json line = parse_json(R"({"prompt": "1", "completion": "2"})", "line");
  EXPECT_EQ(shown(encode_line(line, {Format::kCompletion, {}, false}, fake::encoder(), "f").ids),
            "<b>12");
}

TEST(ExampleTest, TokensAreTakenAsTheyAre) {
  const Example plain = encode(Format::kTokens, R"({"input_ids": [7, 8, 9]})");
  EXPECT_EQ(plain.ids, (std::vector<std::int32_t>{7, 8, 9}));
  EXPECT_EQ(plain.labels, plain.ids);
  const Example labelled =
      encode(Format::kTokens, R"({"input_ids": [7, 8, 9], "labels": [-100, 5, -100]})");
  EXPECT_EQ(labelled.labels, (std::vector<std::int32_t>{-100, 5, -100}));
  EXPECT_EQ(labelled.supervised(), 1);
  EXPECT_EQ(encode(Format::kTokens, R"({"input_ids": [7, 8], "labels": null})").supervised(), 1);
  EXPECT_EQ(encode(Format::kTokens, R"({"input_ids": []})").supervised(), 0);
}

TEST(ExampleTest, CutsAtTheEnd) {
  Example example = encode(Format::kText, R"({"text": "abcd"})");
  EXPECT_FALSE(example.cut(6));
  EXPECT_TRUE(example.cut(3));
  EXPECT_EQ(shown(example.ids), "<b>ab");
  EXPECT_EQ(example.labels.size(), 3u);
}

TEST(ExampleTest, FieldsRenameColumns) {
  const Json line = parse_json(R"({"question": "1", "answer": "2", "text": 5})", "line");
  const Fields fields = {{"prompt", "question"}, {"completion", "answer"}};
  EXPECT_EQ(detect_format(line, fields, "f"), Format::kCompletion);
  EXPECT_EQ(
      shown(encode_line(line, {Format::kCompletion, fields, true}, fake::encoder(), "f").labels),
      "..2<e>");
  EXPECT_NO_THROW(check_fields(fields, "data.fields"));
  EXPECT_ERROR_STATUS(check_fields({{"promt", "q"}}, "data.fields"), GRAFT_E_CONFIG,
                      "data.fields: no format has a column \"promt\". Did you mean 'prompt'?");
}

TEST(ExampleTest, FindsTheFormatOut) {
  const auto detect = [](const char* line) {
    return detect_format(parse_json(line, "l"), {}, "f:1");
  };
  EXPECT_EQ(detect(R"({"id": 1, "text": ""})"), Format::kText);
  EXPECT_EQ(detect(R"({"prompt": "", "completion": ""})"), Format::kCompletion);
  EXPECT_EQ(detect(R"({"messages": []})"), Format::kMessages);
  EXPECT_EQ(detect(R"({"input_ids": []})"), Format::kTokens);
  EXPECT_ERROR(detect(R"({"prompt": "", "chosen": "", "rejected": ""})"),
               "\"preference\" is not there");
  EXPECT_ERROR(detect(R"({"conversations": []})"), "\"sharegpt\" is not there yet");
  EXPECT_ERROR(detect(R"({"instruction": "", "input": "", "output": ""})"),
               "\"alpaca\" is not there");
  EXPECT_ERROR(detect(R"({"body": "", "id": 1})"),
               "f:1: the columns \"body\", \"id\" are of no known format.");
  EXPECT_ERROR(detect("[1]"), "f:1: is a JSON array, but must be an object, one a line (JSONL");
}

TEST(ExampleTest, ParsesFormatNames) {
  EXPECT_EQ(parse_format("tokens", "w"), Format::kTokens);
  EXPECT_ERROR(parse_format("alpaca", "data.format"), "data.format: the format \"alpaca\" is not");
  EXPECT_ERROR(parse_format("message", "w"), "Did you mean 'messages'?");
}

TEST(ExampleTest, RefusesWrongColumns) {
  EXPECT_ERROR(encode(Format::kText, R"({"txt": "a"})"),
               "f:3: there is no \"text\", which format text needs; the columns are \"txt\".");
  EXPECT_ERROR(encode(Format::kText, R"({"text": 5})"), "f:3: \"text\" is a number, but must be a");
  EXPECT_ERROR(encode(Format::kText, R"("text")"), "is a JSON string, but must be an object");
  EXPECT_ERROR(encode(Format::kCompletion, R"({"prompt": "a", "completion": null})"),
               "\"completion\" is a null");
}

TEST(ExampleTest, RefusesIdsThatTheModelHasNot) {
  const auto tokens = [](const char* ids) {
    return encode(Format::kTokens, cat("{\"input_ids\": ", ids, "}").c_str());
  };
  EXPECT_NO_THROW(tokens("[0, 299]"));
  EXPECT_ERROR(tokens("[1, 300]"),
               "f:3: \"input_ids\" holds the token id 300 at place 1, which is out of range: the "
               "model's vocabulary has 300 rows, ids go from 0 to 299.");
  EXPECT_ERROR(tokens("[-1]"), "the token id -1 at place 0");
  EXPECT_ERROR(tokens("[-100]"), "the token id -100");
  EXPECT_ERROR(tokens("[4294967297]"), "the token id 4294967297");
  EXPECT_ERROR(tokens("[18446744073709551615]"), "the token id 18446744073709551615");
  EXPECT_ERROR(tokens("[18446744073709551616]"), "which is no token id");
  EXPECT_ERROR(tokens("[1.5]"), "holds 1.5 at place 0, which is no token id");
  EXPECT_ERROR(tokens("[\"1\"]"), "which is no token id");
  EXPECT_ERROR(tokens("[[1]]"), "which is no token id");
  EXPECT_ERROR(tokens("7"), "is a number, but must be a list of token ids");
  EXPECT_ERROR(encode(Format::kTokens, R"({"input_ids": [1, 2], "labels": [1]})"),
               "\"labels\" has 1 entries, but \"input_ids\" has 2");
  EXPECT_ERROR(encode(Format::kTokens, R"({"input_ids": [1], "labels": [300]})"),
               "holds the token id");
  EXPECT_ERROR(encode(Format::kTokens, R"({"input_ids": [1], "labels": [-99]})"), "-100 where no");
  // 2^64 - 100 is no -100.
  EXPECT_ERROR(encode(Format::kTokens, R"({"input_ids": [1], "labels": [18446744073709551516]})"),
               "the token id 18446744073709551516");
}

TEST(ExampleTest, RefusesATokenizerLargerThanTheModel) {
  Encoder small = fake::encoder();
  small.vocabulary = 256;
  EXPECT_ERROR(encode(Format::kText, R"({"text": "a"})", small),
               "f:3: token id 257 is out of range: the model's vocabulary has 256 rows");
}

TEST(ExampleTest, EveryByteFlipOfALineGivesAnErrorOrAnExample) {
  const std::pair<Format, std::string> lines[] = {
      {Format::kText, R"({"text": "a\u00e9"})"},
      {Format::kCompletion, R"({"prompt": "a", "completion": "b"})"},
      {Format::kTokens, R"({"input_ids": [10, 299], "labels": [-100, 9]})"},
      {Format::kMessages, R"({"messages": [{"role": "assistant", "content": "b"}]})"}};
  for (const auto& [format, line] : lines) {
    int good = 0, bad = 0;
    for (std::size_t at = 0; at < line.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string flipped = line;
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
        try {
          const Example example = encode(format, flipped.c_str());
          EXPECT_EQ(example.ids.size(), example.labels.size()) << flipped;
          ++good;
        } catch (const Error&) {
          ++bad;
        }
      }
    }
    EXPECT_GT(good, 0) << line;
    EXPECT_GT(bad, good) << line;
  }
}

TEST(ConversationTest, TrainsOnTheTurnsOfTheAssistant) {
  const Example example = encode(Format::kMessages, R"({"messages": [
      {"role": "system", "content": "S"}, {"role": "user", "content": "U"},
      {"role": "assistant", "content": "A1"}, {"role": "user", "content": "V"},
      {"role": "assistant", "content": "A2"}]})");
  EXPECT_EQ(
      shown(example.ids),
      "<t>system\nS<e>\n<t>user\nU<e>\n<t>assistant\nA1<e>\n<t>user\nV<e>\n<t>assistant\nA2<e>\n");
  // With the token that ends the turn, without the line break after it.
  EXPECT_EQ(shown(example.labels), dots("<t>system\nS<e>\n<t>user\nU<e>\n<t>assistant\n") +
                                       "A1<e>" + dots("\n<t>user\nV<e>\n<t>assistant\n") + "A2<e>" +
                                       dots("\n"));
}

TEST(ConversationTest, ATokenOverTheSeamIsTrained) {
  const Example example = encode(Format::kMessages, R"({"messages": [
      {"role": "user", "content": "U"}, {"role": "assistant", "content": "\nA"}]})");
  EXPECT_EQ(shown(example.labels), dots("<t>user\nU<e>\n<t>assistant") + "\n\nA<e>.");
}

TEST(ConversationTest, PassesToolsToTheTemplate) {
  const Example example = encode(Format::kMessages, R"({"tools": [{"name": "f"}], "messages": [
      {"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]})");
  EXPECT_EQ(shown(example.ids).substr(0, 30), "<t>tools\n[{\"name\":\"f\"}]<e>\n<t>");
}

TEST(ConversationTest, AConversationWithoutAnAssistantHasNoLoss) {
  EXPECT_EQ(
      encode(Format::kMessages, R"({"messages": [{"role": "user", "content": "U"}]})").supervised(),
      0);
}

TEST(ConversationTest, WithoutASpecialTokenTheWholeTurnIsTrained) {
  Encoder plain = fake::encoder();
  plain.is_special = nullptr;
  plain.eos = 1;
  const Example example = encode(Format::kMessages, R"({"messages": [
      {"role": "assistant", "content": "A"}]})",
                                 plain);
  EXPECT_EQ(shown(example.labels), std::string(11, '.') + "A<e>\n");
}

TEST(ConversationTest, RefusesATemplateThatRewritesEarlierTurns) {
  Encoder encoder = fake::encoder();
  encoder.render = [](const Json& variables) {
    return cat(variables.at("messages").size(), fake::render(variables));
  };
  EXPECT_ERROR(encode(Format::kMessages, R"({"messages": [{"role": "user", "content": "U"},
                                             {"role": "assistant", "content": "A"}]})",
                      encoder),
               "f:3: message 1 (assistant) cannot be told apart");
}

TEST(ConversationTest, RefusesWhatIsNoConversation) {
  const auto messages = [](const char* list) {
    return encode(Format::kMessages, cat("{\"messages\": ", list, "}").c_str());
  };
  EXPECT_ERROR(messages("[]"), "f:3: the messages must be a list");
  EXPECT_ERROR(messages("\"hi\""), "f:3: the messages must be a list");
  EXPECT_ERROR(messages("[1]"), "f:3: message 0 is no object");
  EXPECT_ERROR(messages(R"([{"content": "a"}])"), "message 0 has no \"role\"");
  EXPECT_ERROR(messages(R"([{"role": 1, "content": "a"}])"), "message 0 has no \"role\" that is");
  EXPECT_ERROR(messages(R"([{"role": "user"}])"), "message 0 has no \"content\"");
  EXPECT_ERROR(messages(R"([{"role": "user", "content": 5}])"), "a \"content\" that is a number");
  Encoder none = fake::encoder();
  none.render = nullptr;
  EXPECT_ERROR(
      encode(Format::kMessages, R"({"messages": [{"role": "user", "content": ""}]})", none),
      "the model has no chat template");
}

TEST(ConversationTest, PassesOnWhatTheTemplateSays) {
  Encoder encoder = fake::encoder();
  encoder.render = [](const Json&) -> std::string {
    throw Error(GRAFT_E_INVALID, "roles must alternate");
  };
  EXPECT_ERROR(
      encode(Format::kMessages, R"({"messages": [{"role": "user", "content": ""}]})", encoder),
      "f:3: the chat template refuses the first 1 of 1 messages: roles must alternate");
}

}  // namespace
}  // namespace graft::core
