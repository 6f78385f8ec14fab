// Files that are wrong, by mistake or on purpose: an error that says what, never a crash.
#include "tests/unit/text/support.hpp"

namespace graft::core {
namespace {

using namespace testing_text;

/// All texts of one to three letters, enough to be read by two threads: a letter's id is its place,
/// and longer texts follow. `more` is put behind the merges, `merge` in place of the eighth.
std::string many_pieces(const std::string& more, const std::string& merge,
                        const std::string& piece) {
  const std::string letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::vector<std::string> pieces;
  std::string vocab, merges;
  for (const char a : letters) pieces.push_back({a});
  for (std::size_t i = 0; i < 36 + 36 * 36; ++i) {
    for (const char b : letters) {
      const bool changed = !merge.empty() && pieces.size() == 36 + 7;
      merges +=
          changed ? merge : cat(merges.empty() ? "" : ",", "[\"", pieces[i], "\",\"", b, "\"]");
      pieces.push_back(pieces[i] + b);
    }
  }
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    vocab += cat(i == 0 ? "" : ",", "\"", pieces[i], "\":", i);
  }
  return cat(R"({"model":{"type":"BPE","vocab":{)", vocab, piece, R"(},"merges":[)", merges, more,
             "]}}");
}

TEST(ManyPieces, AreReadByTwoThreadsAsByOne) {
  const Tokenizer tokenizer = load_text(many_pieces("", "", ""));
  EXPECT_EQ(tokenizer.ids("ab", false), std::vector<std::int32_t>{36 + 1});
  EXPECT_EQ(tokenizer.ids("abc", false), std::vector<std::int32_t>{36 + 36 * 36 + 36 + 2});
  EXPECT_EQ(tokenizer.ids("999", false),
            std::vector<std::int32_t>{36 + 36 * 36 + 36 * 36 * 36 - 1});
  const auto fails = [](const std::string& file, const char* with) {
    const std::string message = error_of([&] { load_text(file); });
    EXPECT_NE(message.find(with), std::string::npos) << message;
  };
  const std::string more = R"(,["99","?"])", merge = R"(,["a","!"])", twice = R"(,"twice":3)";
  fails(many_pieces(more, "", ""), "merge 47952 ('99' with '?') needs '?'");
  fails(many_pieces(more, merge, ""), "merge 7 ('a' with '!') needs '!'");
  fails(many_pieces(more, merge, twice), "'d' and 'twice' have the same id 3");
  // What is wrong with the form of the file goes first.
  fails(many_pieces(",5", merge, twice), "model.merges holds a wrong value");
}

struct Wrong {
  const char* name;
  const char* patch;
  const char* message;  // a part of it
};

std::ostream& operator<<(std::ostream& out, const Wrong& wrong) {
  return out << wrong.name;
}

class WrongTokenizer : public testing::TestWithParam<Wrong> {};

TEST_P(WrongTokenizer, IsRefused) {
  const std::string message = error_of([&] { load_patched(Json::parse(GetParam().patch)); });
  EXPECT_NE(message.find(GetParam().message), std::string::npos) << message;
  EXPECT_NE(message.find("tokenizer.json"), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(
    Files, WrongTokenizer,
    testing::Values(
        Wrong{"MergeOutOfVocabulary", R"({"model":{"merges":[["q","zz"]]}})",
              "merge 0 ('q' with 'zz') needs 'zz', which is not in the vocabulary"},
        Wrong{"MergeResultOutOfVocabulary", R"({"model":{"merges":["q q"]}})", "needs 'qq'"},
        Wrong{"MergeOfNothing", R"({"model":{"vocab":{"":512},"merges":[["","a"]]}})", "needs ''"},
        Wrong{"MergeInOnePart", R"({"model":{"merges":["a"]}})", "must be two pieces and a space"},
        Wrong{"MergeInThreeParts", R"({"model":{"merges":[["a","b","c"]]}})", "has not two parts"},
        Wrong{"MergeOfNumbers", R"({"model":{"merges":[[1,2]]}})", "holds a wrong value"},
        Wrong{"MergeNested", R"({"model":{"merges":[[["a"],"b"]]}})", "a merge holds an array"},
        Wrong{"IdTwice", R"({"model":{"vocab":{"!!!":5}}})", "have the same id 5"},
        Wrong{"IdNegative", R"({"model":{"vocab":{"!!!":-1}}})",
              "the id -1 of '!!!' is out of range"},
        Wrong{"IdHuge", R"({"model":{"vocab":{"!!!":4000000000}}})", "is out of range"},
        Wrong{"IdFar", R"({"model":{"vocab":{"!!!":16000000}}})", "is out of range"},
        Wrong{"IdBeyondIntegers", R"({"model":{"vocab":{"!!!":18446744073709551615}}})",
              "is out of range"},
        Wrong{"IdNoInteger", R"({"model":{"vocab":{"!!!":1.5}}})", "not a whole number"},
        Wrong{"IdText", R"({"model":{"vocab":{"!!!":"1"}}})", "is a string"},
        Wrong{"IdObject", R"({"model":{"vocab":{"!!!":{}}}})", "an object inside"},
        Wrong{"VocabularyMissing", R"({"model":{"vocab":null}})", "model.vocab must be an object"},
        Wrong{"VocabularyOfUnigram", R"({"model":{"vocab":[["a",-1.0]]}})",
              "model.vocab must be an object of ids"},
        Wrong{"VocabularyOfBpe", R"({"model":{"type":"Unigram"}})",
              "model.vocab must be a list of [text, score]"},
        Wrong{"Model", R"({"model":{"type":"CharLevel"}})",
              "the model 'CharLevel' is not supported; supported are BPE, Unigram, WordPiece"},
        Wrong{"UnkId", R"({"model":{"type":"Unigram","vocab":[["a",-1.0]],"unk_id":1}})",
              "the unk_id 1 is no token; ids are below 1"},
        Wrong{"UnkIdNegative", R"({"model":{"type":"Unigram","vocab":[["a",-1.0]],"unk_id":-1}})",
              "the unk_id -1 is no token"},
        Wrong{"ScoreText", R"({"model":{"type":"Unigram","vocab":[["a","b"]]}})",
              "expected a number"},
        Wrong{"ScoreMissing", R"({"model":{"type":"Unigram","vocab":[["a"]]}})", "expected ','"},
        Wrong{"WordPieceUnk", R"({"model":{"type":"WordPiece"}})",
              "the unk_token '[UNK]' is not in the vocabulary"},
        Wrong{"ModelMissing", R"({"model":null})", "\"model\" is missing"},
        Wrong{"UnknownUnk", R"({"model":{"unk_token":"<unk>"}})",
              "the unk_token '<unk>' is not in the vocabulary"},
        Wrong{"Normalizer", R"({"normalizer":{"type":"Odd"}})",
              "the normalizer 'Odd' is not supported"},
        Wrong{"Charsmap",
              R"({"normalizer":{"type":"Precompiled","precompiled_charsmap":"/////w=="}})",
              "the precompiled_charsmap of 4 bytes tells of a trie of 4294967295 bytes"},
        Wrong{"Base64", R"({"normalizer":{"type":"Precompiled","precompiled_charsmap":"AB?="}})",
              "character 2 of a base64 text"},
        Wrong{"NormalizerNoObject", R"({"normalizer":"NFC"})", "must be null or an object"},
        Wrong{"PreTokenizer", R"({"pre_tokenizer":{"type":"Odd"}})",
              "the pre-tokenizer 'Odd' is not supported"},
        Wrong{"PrependScheme", R"({"pre_tokenizer":{"type":"Metaspace","prepend_scheme":"often"}})",
              "the prepend_scheme 'often' is not supported"},
        Wrong{"FixedLength", R"({"pre_tokenizer":{"type":"FixedLength","length":0}})",
              "needs a length of at least 1"},
        Wrong{"Behavior",
              R"({"pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"Odd"}})",
              "the split behavior 'Odd'"},
        Wrong{"Expression",
              R"({"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a(b"},
                  "behavior":"Isolated"}})",
              "the regular expression 'a(b' is wrong at character 3"},
        Wrong{"PostProcessor", R"({"post_processor":{"type":"Odd"}})",
              "the post-processor 'Odd' is not supported"},
        Wrong{"BertProcessing", R"({"post_processor":{"type":"BertProcessing","cls":["a",1],
                  "sep":["b"]}})",
              "the id of \"sep\" is null"},
        Wrong{"FramedTwice",
              R"({"post_processor":{"type":"Sequence","processors":[
                  {"type":"BertProcessing","cls":["a",1],"sep":["b",2]},
                  {"type":"BertProcessing","cls":["a",1],"sep":["b",2]}]}})",
              "is the second that adds tokens"},
        Wrong{"Template",
              R"({"post_processor":{"type":"TemplateProcessing","single":[
                  {"SpecialToken":{"id":"X","type_id":0}}],"special_tokens":{
                  "X":{"id":"X","ids":[1]}}}})",
              "holds 0 sequences"},
        Wrong{"TemplateId",
              R"({"post_processor":{"type":"TemplateProcessing","single":[
                  {"SpecialToken":{"id":"X","type_id":0}},{"Sequence":{"id":"A"}}],
                  "special_tokens":{"X":{"id":"X","ids":[-1]}}}})",
              "is -1; it must be 0 to"},
        Wrong{"TemplateIdUnknown",
              R"({"post_processor":{"type":"TemplateProcessing","single":[
                  {"SpecialToken":{"id":"X","type_id":0}},{"Sequence":{"id":"A"}}],
                  "special_tokens":{"X":{"id":"X","ids":[600]}}}})",
              "adds the id 600, which is no token"},
        Wrong{"AddedOnGap",
              R"({"model":{"vocab":{"!!!":512}},"added_tokens":[{"id":512,"content":"<x>"}]})",
              "would get the id 512, which is '!!!'"},
        Wrong{"Decoder", R"({"decoder":{"type":"Odd"}})", "the decoder 'Odd'"},
        Wrong{"StripHuge", R"({"decoder":{"type":"Strip","content":" ","start":-1,"stop":0}})",
              "\"start\" is missing or is not of the type"},
        Wrong{"AddedIdNegative", R"({"added_tokens":[{"id":-3,"content":"<x>"}]})",
              "the added token '<x>' has the id -3"},
        Wrong{"AddedIdHuge", R"({"added_tokens":[{"id":99999999999,"content":"<x>"}]})",
              "has the id 99999999999"},
        Wrong{"AddedWithoutContent", R"({"added_tokens":[{"id":3}]})", "\"content\" is missing"},
        Wrong{"AddedNoArray", R"({"added_tokens":{}})", "must be an array"}),
    testing::PrintToStringParamName());

TEST(HostileTokenizer, KeysThatAreThereTwiceAreRefused) {
  EXPECT_NE(error_of([] {
              load_text(R"({"model":{"type":"BPE","vocab":{"a":0,"a":1},"merges":[]}})");
            }).find("'a' has two ids, 0 and 1"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              load_text(R"({"model":{"vocab":{"a":0},"vocab":{"b":0}}})");
            }).find("model.vocab is there twice"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              load_text(R"({"normalizer":null,"normalizer":null})");
            }).find("\"normalizer\" is there twice"),
            std::string::npos);
}

TEST(HostileTokenizer, EveryCutIsRefused) {
  Json file = tiny_json();
  file["model"]["merges"].erase(file["model"]["merges"].begin() + 4, file["model"]["merges"].end());
  const std::string text = file.dump();
  for (std::size_t size = 0; size < text.size(); size += size < 1500 ? 1 : 37) {
    EXPECT_NE(error_of([&] { load_text(text.substr(0, size)); }), "") << size;
  }
  load_text(text);
}

TEST(HostileTokenizer, EveryFlippedByteGivesAnErrorOrATokenizer) {
  Json file = tiny_json();
  const Json merges = file["model"]["merges"];
  file["model"]["merges"] = Json(merges.begin(), merges.begin() + 4);
  const std::string text = file.dump();
  int loaded = 0;
  for (std::size_t at = 0; at < text.size(); at += 13) {
    for (const char flip : {'\x01', '\x20', '\x80'}) {
      std::string changed = text;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      try {
        load_text(changed).ids("The river 12 <note> x", true);
        ++loaded;
      } catch (const Error& error) {
        EXPECT_EQ(error.status(), GRAFT_E_INVALID) << error.what();
      }
    }
  }
  EXPECT_GT(loaded, 0);
}

TEST(HostileTokenizer, NumbersBeyondAllAreRefused) {
  EXPECT_NE(
      error_of([] {
        load_text(R"({"added_tokens":[{"id":1e999}],"model":{"type":"WordLevel","vocab":{}}})");
      }).find("a number is too large in the value at byte 16"),
      std::string::npos);
}

TEST(HostileTokenizer, DeepNestingIsRefused) {
  EXPECT_NE(error_of([] { load_text(std::string(100000, '[')); }).find("nested deeper than 64"),
            std::string::npos);
  std::string sequence = R"({"type":"NFC"})";
  for (int i = 0; i < 40; ++i) {
    sequence = R"({"type":"Sequence","normalizers":[)" + sequence + "]}";
  }
  EXPECT_NE(error_of([&] {
              load_patched({{"normalizer", Json::parse(sequence)}});
            }).find("nested deeper"),
            std::string::npos);
}

TEST(HostileTokenizer, AnExpressionThatBacktracksForeverIsStopped) {
  const Tokenizer tokenizer = load_patched(Json::parse(
      R"({"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a+)+$"},"behavior":"Isolated"}})"));
  EXPECT_NE(error_of([&] {
              tokenizer.ids(std::string(60, 'a') + "b", false);
            }).find("gave up on a text of 61 bytes"),
            std::string::npos);
}

}  // namespace
}  // namespace graft::core
