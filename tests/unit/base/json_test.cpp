#include "core/base/json.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

Json parse(std::string_view text) {
  return parse_json(text, "x.json");
}

TEST(JsonTest, ReadsEveryKindOfValue) {
  const Json value =
      parse(" {\"b\": [1, -2, 2.5, 1e-4, true, false, null], \"a\": {}, \"\": []} \n");
  EXPECT_EQ(to_text(value), R"({"b":[1,-2,2.5,0.0001,true,false,null],"a":{},"":[]})");
  EXPECT_TRUE(value["b"][0].is_number_unsigned());
  EXPECT_TRUE(value["b"][1].is_number_integer());
  EXPECT_TRUE(value["b"][2].is_number_float());
}

TEST(JsonTest, AgreesWithNlohmannOnValidText) {
  for (const char* text :
       {"[\"\\u00e9\\ud83d\\ude00\\n\\t\\\\\\/\\\"\\b\\f\\r\"]", "\"\xC3\xA9\xF0\x9F\x98\x80\"",
        "[18446744073709551615, -9223372036854775808, 18446744073709551616, -0, -0.0, 1E+2]",
        "{\"a\":{\"a\":{\"a\":[[[]]]}}}", "0", "[]", "\"\"", "[0.1, 3.0, 5e-324]"}) {
    EXPECT_EQ(parse(text), Json::parse(text)) << text;
    EXPECT_EQ(to_text(parse(text)), Json::parse(text).dump()) << text;
  }
}

TEST(JsonTest, NumbersReadBackAsTheSameDouble) {
  for (const double number : {0.1, 1.0 / 3, 2e-4, 1e300, 5e-324, 123456789.125}) {
    EXPECT_EQ(parse(to_text(Json(number))).get<double>(), number);
  }
  EXPECT_EQ(parse("1e-999").get<double>(), 0.0);
}

TEST(JsonTest, TellsLineAndColumn) {
  EXPECT_ERROR(parse("{\n  \"a\": 1,\n  \"b\" 2\n}"), "(line 3, column 7)");
  EXPECT_ERROR(parse("{\"\xC3\xA9\": x}"), "'x' where a value should be (line 1, column 7)");
  EXPECT_ERROR(parse("[1"), "x.json: not valid JSON: expected ',' or ']', found end (line 1, co");
  EXPECT_ERROR(parse_json("{\n?", "x.json", 7), "(line 8, column 1)");
}

TEST(JsonTest, RefusesWhatIsNoJson) {
  for (const char* text : {"",
                           "  ",
                           "{",
                           "}",
                           "[1,]",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{'a':1}",
                           "[1 2]",
                           "nul",
                           "NaN",
                           "Infinity",
                           "-",
                           "01",
                           "1.",
                           ".5",
                           "1e",
                           "+1",
                           "\"",
                           "\"\\",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "\"a\nb\"",
                           "\"\x80\"",
                           "\"\xC0\x80\"",
                           "\"\xED\xA0\x80\"",
                           "\"\xF4\x90\x80\x80\"",
                           "\"\xE2\x82\"",
                           "[] []",
                           "1 2",
                           "{\"a\"}",
                           "{\"a\":}",
                           "//x\n1",
                           "1e999",
                           "-1e999",
                           "[\"a\": 1]"}) {
    EXPECT_ERROR(parse(text), "x.json: not valid JSON: ");
  }
  EXPECT_ERROR(parse(std::string_view("[1,\0002]", 6)), "byte 0x00");
}

TEST(JsonTest, RefusesDuplicateKeys) {
  EXPECT_ERROR(parse("{\"a\": 1, \"b\": 2, \"a\": 3}"), "the key \"a\" is there twice (line 1");
  std::string many = "{";
  for (int i = 0; i < 40; ++i) many += cat("\"k", i, "\":1,");
  EXPECT_EQ(parse(many + "\"k40\":1}").size(), 41u);
  EXPECT_ERROR(parse(many + "\"k3\":1}"), "\"k3\" is there twice");
  EXPECT_ERROR(parse(many + "\"x\":1,\"x\":2}"), "\"x\" is there twice");
}

TEST(JsonTest, LimitsNesting) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_NO_THROW(parse(nested(200)));
  EXPECT_ERROR(parse(nested(202)), "nested deeper than 200");
  EXPECT_ERROR(parse(std::string(1000000, '[')), "nested deeper than 200");
}

TEST(JsonTest, EveryCutOfADocumentIsAnError) {
  const std::string text = R"({"a": [1.5e3, "\u00e9x", true], "b": {"c": null}})";
  ASSERT_NO_THROW(parse(text));
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_THROW(parse(text.substr(0, size)), Error) << size;
  }
}

TEST(JsonTest, EveryByteFlipGivesAnErrorOrAValue) {
  const std::string text = R"({"a": [1.5e3, "\u00e9x", true], "b": {"c": null}})";
  int good = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = text;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      try {
        to_text(parse(bad));
        ++good;
      } catch (const Error&) {
      }
    }
  }
  EXPECT_GT(good, 0);
}

TEST(JsonTest, ManyKeysTakeLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += cat(i ? "," : "", "\"key", i, "\":", i);
  EXPECT_EQ(parse(text + "}").size(), 200000u);  // minutes, if every key looked at every other
}

TEST(JsonTest, SkipsAByteOrderMark) {
  EXPECT_EQ(parse("\xEF\xBB\xBF[1]"), Json::array({1}));
}

}  // namespace
}  // namespace graft::core
