#include "core/data/dataset.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "core/base/schema.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/data/fake_encoder.hpp"

namespace graft::core {
namespace {

using fake::Folder;
using fake::shown;

DataOptions one_file(const fs::path& path) {
  DataOptions options;
  options.train = {{path, std::nullopt, std::nullopt}};
  return options;
}

Data open(const DataOptions& options) {
  return open_data(options, fake::encoder(), Log());
}

std::vector<std::string> texts(const Dataset& data) {
  std::vector<std::string> result;
  for (std::int64_t i = 0; i < data.size(); ++i) result.push_back(shown(data.example(i).ids));
  return result;
}

std::string numbered(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += cat("{\"text\": \"", i, "\"}\n");
  return text;
}

TEST(PieceTest, FindsLines) {
  const std::string_view text = "a\n\n \t\r\nbb\r\nc";
  PieceReader reader(text, Pieces::kLines);
  Piece piece;
  std::string seen;
  while (reader.next(piece)) {
    seen += cat(piece.line, '[', text.substr(piece.begin, piece.end - piece.begin), ']');
  }
  EXPECT_EQ(seen, "1[a]4[bb]5[c]");
}

TEST(PieceTest, FindsParagraphs) {
  const std::string_view text = "\n\nfirst\nsecond \r\n \nthird\n\n\n";
  PieceReader reader(text, Pieces::kParagraphs);
  Piece piece;
  std::string seen;
  while (reader.next(piece)) {
    seen += cat(piece.line, '[', text.substr(piece.begin, piece.end - piece.begin), ']');
  }
  EXPECT_EQ(seen, "3[first\nsecond ]6[third]");
}

TEST(DatasetTest, ReadsExamplesOnDemand) {
  const Folder folder;
  const Data data = open(one_file(
      folder.file("a.jsonl", "{\"text\": \"one\"}\n\n{\"text\":\"\"}\r\n{\"text\": \"3\"}")));
  EXPECT_EQ(texts(data.train), (std::vector<std::string>{"<b>one<e>", "<b><e>", "<b>3<e>"}));
  EXPECT_EQ(data.train.length(0), 5);
  EXPECT_EQ(data.train.supervised(0), 4);
  EXPECT_EQ(data.train.counts().lines, 3);
  EXPECT_EQ(data.train.counts().tokens, 10);
  EXPECT_EQ(data.train.counts().supervised, 7);
  EXPECT_TRUE(data.train.where(2).ends_with("a.jsonl:4"));
  EXPECT_FALSE(data.eval);
}

TEST(DatasetTest, ReadsParagraphsOfPlainText) {
  const Folder folder;
  DataOptions options = one_file(folder.file("a.txt", "one\ntwo\n\nthree \xFF{\n"));
  EXPECT_EQ(texts(open(options).train),
            (std::vector<std::string>{"<b>one\ntwo<e>", "<b>three \xFF{<e>"}));
  options.train[0].format = Format::kTokens;
  EXPECT_ERROR(open(options), "a .txt file has format text, not tokens");
}

TEST(DatasetTest, CutsAndSkipsAndCounts) {
  const Folder folder;
  DataOptions options = one_file(folder.file("a.jsonl",
                                             R"({"prompt": "12345", "completion": "6"}
{"prompt": "1", "completion": "23456"}
{"prompt": "1", "completion": "2"}
)"));
  options.max_length = 4;
  std::string said;
  const Data data = open_data(options, fake::encoder(),
                              Log([&](const LogRecord& record) { said += record.message; }));
  // The first has its completion cut off; the third fits exactly.
  EXPECT_EQ(texts(data.train), (std::vector<std::string>{"<b>123", "<b>12<e>"}));
  EXPECT_EQ(data.train.counts().cut, 1);
  EXPECT_EQ(data.train.counts().skipped, 1);
  EXPECT_EQ(data.train.counts().lines, 3);
  EXPECT_NE(said.find("a.jsonl: format completion (found out from the first line), 2 examples, 8 "
                      "tokens, 4 of them with a loss; 1 cut at max_length 4; 1 skipped"),
            std::string::npos)
      << said;
}

TEST(DatasetTest, NamesTheBrokenLine) {
  const Folder folder;
  const auto open_text = [&](std::string_view text) {
    return open(one_file(folder.file("a.jsonl", text)));
  };
  const std::string good = "{\"text\": \"a\"}\n\n";
  EXPECT_ERROR(open_text(good + "{\"text\": \"a\n"), "a.jsonl:3: not valid JSON: a string that");
  EXPECT_ERROR(open_text(good + "{\"text\": x}"), "(line 3, column 10)");
  EXPECT_ERROR(open_text(good + "{\"text\": \"\xFF\"}"),
               "a.jsonl:3: not valid JSON: invalid UTF-8");
  EXPECT_ERROR(open_text(good + "{\"text\": 1}"), "a.jsonl:3: \"text\" is a number");
  EXPECT_ERROR(open_text(good + "{\"messages\": []}"), "a.jsonl:3: there is no \"text\"");
  EXPECT_ERROR(open_text(good + "{\"text\": \"a\"} {\"text\": \"b\"}"),
               "a.jsonl:3: not valid JSON");
  EXPECT_ERROR(open_text(good + std::string(3, '\0')), "a.jsonl:3: not valid JSON");
  EXPECT_ERROR(open_text("[\n{\"text\": \"a\"}\n]"), "a.jsonl:1: not valid JSON");
  EXPECT_ERROR(open_text("[{\"text\": \"a\"}]"), "(JSONL: no list around the lines)");
}

TEST(DatasetTest, ThreadsReportTheFirstBadLineAndFindTheSame) {
  const Folder folder;
  std::string text = numbered(20000);
  DataOptions options = one_file(folder.file("a.jsonl", text));
  options.threads = 4;
  const Data many = open(options);
  options.threads = 1;
  const Data one = open(options);
  ASSERT_EQ(many.train.size(), 20000);
  for (std::int64_t i = 0; i < 20000; ++i) {
    ASSERT_EQ(many.train.length(i), one.train.length(i));
  }
  EXPECT_EQ(shown(many.train.example(12345).ids), "<b>12345<e>");
  options = one_file(folder.file("b.jsonl", text + "x\n" + text + "y\n"));
  options.threads = 4;
  EXPECT_ERROR(open(options), "b.jsonl:20001: not valid JSON: unexpected 'x'");
}

TEST(DatasetTest, RefusesEmptyData) {
  const Folder folder;
  EXPECT_ERROR(open(one_file(folder.file("a.jsonl", ""))), "a.jsonl: the file is empty");
  EXPECT_ERROR(open(one_file(folder.file("a.jsonl", "\n \n"))), "a.jsonl: the file is empty");
  EXPECT_ERROR(open(one_file(folder.file("a.jsonl", "{\"input_ids\": [1]}\n"))),
               "there is no example to learn from: of 1 lines 1 have no supervised token");
  EXPECT_ERROR(open(DataOptions()), "there is no file named");
  EXPECT_ERROR_STATUS(open(one_file("/nowhere/a.jsonl")), GRAFT_E_NOT_FOUND, "/nowhere/a.jsonl");
}

TEST(DatasetTest, ChecksItsOptions) {
  const Folder folder;
  DataOptions options = one_file(folder.file("a.jsonl", numbered(10)));
  options.max_length = 1;
  EXPECT_ERROR(open(options), "data.max_length is 1, but must be at least 2");
  options.max_length = 0;
  options.eval_fraction = 1;
  EXPECT_ERROR(open(options), "data.eval_fraction is 1");
  options.eval_fraction = 0.5;
  options.eval = options.train[0];
  EXPECT_ERROR_STATUS(open(options), GRAFT_E_CONFIG, "give one");
  options.eval.reset();
  options.eval_fraction = 1e-9;
  EXPECT_ERROR_STATUS(
      open(options), GRAFT_E_CONFIG,
      "data.eval_fraction is 1e-09: of 10 examples that leaves none to evaluate on");
}

TEST(DatasetTest, HoldsOutTheSameLinesWhateverComesAfter) {
  const Folder folder;
  DataOptions options = one_file(folder.file("a.jsonl", numbered(1000)));
  options.eval_fraction = 0.2;
  options.seed = 3;
  const Data data = open(options);
  ASSERT_TRUE(data.eval);
  EXPECT_EQ(data.train.size() + data.eval->size(), 1000);
  EXPECT_NEAR(static_cast<double>(data.eval->size()), 200, 40);
  std::vector<std::string> held = texts(*data.eval), rest = texts(data.train);
  std::set<std::string> all(held.begin(), held.end());
  all.insert(rest.begin(), rest.end());
  EXPECT_EQ(all.size(), 1000u);

  options.train[0].path = folder.file("b.jsonl", numbered(1100));
  const std::vector<std::string> more = texts(*open(options).eval);
  ASSERT_GE(more.size(), held.size());
  EXPECT_TRUE(std::equal(held.begin(), held.end(), more.begin()));
  options.seed = 4;
  EXPECT_NE(texts(*open(options).eval), more);
}

TEST(DatasetTest, TakesSeveralFilesOfDifferentFormats) {
  const Folder folder;
  DataOptions options;
  options.train = {
      {folder.file("a.jsonl", numbered(2)), std::nullopt, std::nullopt},
      {folder.file("b.jsonl", "{\"input_ids\": [80, 81, 82]}\n"), Format::kTokens, 2.0}};
  options.eval = DataFile{folder.file("c.txt", "eval"), std::nullopt, std::nullopt};
  const Data data = open(options);
  EXPECT_EQ(texts(data.train), (std::vector<std::string>{"<b>0<e>", "<b>1<e>", "PQR"}));
  EXPECT_EQ(texts(*data.eval), (std::vector<std::string>{"<b>eval<e>"}));
  EXPECT_TRUE(data.train.where(2).ends_with("b.jsonl:1"));
  EXPECT_EQ(data.train.sources()[1].begin, 2);
}

TEST(DatasetTest, NoticesAFileThatChanged) {
  const Folder folder;
  const fs::path path = folder.file("a.jsonl", numbered(2));
  const Data data = open(one_file(path));
  {
    std::fstream file(path, std::ios::in | std::ios::out);  // in place: the mapping sees it
    file.seekp(10);
    file << "xyxyxy";
  }
  EXPECT_ERROR_STATUS(data.train.example(0), GRAFT_E_STATE, "the file has changed since it was");
}

TEST(DataOptionsTest, ReadsTheSectionOfARun) {
  const Json data = validate(parse_json(R"({"train": [{"path": "a.jsonl", "weight": 0.5},
      {"path": "/b.jsonl", "format": "text"}], "format": "tokens", "eval": "e.jsonl",
      "fields": {"input_ids": "ids"}})",
                                        "d"),
                             data_schema(), "run.json");
  const DataOptions options = data_options(data, "/runs", 9);
  ASSERT_EQ(options.train.size(), 2u);
  EXPECT_EQ(options.train[0].path, "/runs/a.jsonl");
  EXPECT_EQ(options.train[0].weight, 0.5);
  EXPECT_EQ(options.train[0].format, Format::kTokens);
  EXPECT_EQ(options.train[1].path, "/b.jsonl");
  EXPECT_EQ(options.train[1].format, Format::kText);
  EXPECT_EQ(options.eval->path, "/runs/e.jsonl");
  EXPECT_EQ(options.max_length, 1024);
  EXPECT_EQ(options.fields.at("input_ids"), "ids");
  EXPECT_EQ(options.seed, 9u);
  EXPECT_EQ(data["shuffle"], true);
}

TEST(DataOptionsTest, RefusesWrongSections) {
  const auto check = [](const char* text) {
    return data_options(validate(parse_json(text, "d"), data_schema(), "run.json"), "", 0);
  };
  EXPECT_NO_THROW(check(R"({"train": "a"})"));
  EXPECT_ERROR(check("{}"), "/train is missing");
  EXPECT_ERROR(check(R"({"train": 5})"), "/train is 5, but must be one of: the path of a file, or");
  EXPECT_ERROR(check(R"({"train": "a", "max_lenght": 5})"), "Did you mean 'max_length'?");
  EXPECT_ERROR(check(R"({"train": "a", "max_length": 1})"), "must be at least 2");
  EXPECT_ERROR(check(R"({"train": "a", "eval_fraction": 1})"), "must be less than 1");
  EXPECT_ERROR(check(R"({"train": "a", "format": "sharegpt"})"), "\"sharegpt\" is not there yet");
}

}  // namespace
}  // namespace graft::core
