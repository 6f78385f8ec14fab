#include "core/text/regex.hpp"

#include "core/text/regex_syntax.hpp"
#include "tests/unit/text/support.hpp"

namespace graft::core {
namespace {

using namespace testing_text;

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  std::vector<TextRange> found;
  Regex(pattern, "test").matches(text, found);
  std::vector<std::string> out;
  for (const TextRange& range : found)
    out.emplace_back(text.substr(range.begin, range.end - range.begin));
  return out;
}

using Texts = std::vector<std::string>;

TEST(Regex, IsWrittenAsInRuby) {
  EXPECT_EQ(matches("^a|b$", "a\na b\nb"), (Texts{"a", "a", "b", "b"})) << "of lines";
  EXPECT_EQ(matches("(?m:a.)", "a\nab"), (Texts{"a\n", "ab"}));
  EXPECT_EQ(matches("a.", "a\nab"), (Texts{"ab"}));
  EXPECT_EQ(matches("\\w+", "e\u0301_1 \u203f!"), (Texts{"e\u0301_1", "\u203f"})) << "with marks";
  EXPECT_EQ(matches("\\w+", "a\u2167 \u00b2"), (Texts{"a\u2167", "\u00b2"}))
      << "numerals are letters too";
  EXPECT_EQ(matches("[\\w!]+|\\W", "e\u0301! x"), (Texts{"e\u0301!", " ", "x"}));
  EXPECT_EQ(matches("\\h+", "xfa0G"), (Texts{"fa0"}));
  EXPECT_EQ(matches("[\\u00b5\\u00c0-\\u00d6]+", "a\u00b5\u00c1b"), (Texts{"\u00b5\u00c1"}));
  EXPECT_EQ(matches("xa{,2}", "xaaa"), (Texts{"xaa"}));
  EXPECT_EQ(matches(" ?[^(\\s|[.,!?\u2026])]+", "a, b. (c)"), (Texts{"a", " b", "c"}))
      << "a class in a class";
  EXPECT_EQ(matches("[a-z&&[^aeiou]]+", "hello"), (Texts{"h", "ll"}));
  EXPECT_EQ(matches("[^a-c&&\\w]+", "abcd1-"), (Texts{"d1-"}));
  EXPECT_EQ(matches("[x[^a-y]]+", "axyz"), (Texts{"x", "z"}));
  EXPECT_EQ(matches("[]a]+|[\\]b]+", "]a]b"), (Texts{"]a]", "b"}));
  EXPECT_EQ(matches("[[:digit:]]+(?#digits)", "a12"), (Texts{"12"}));
}

TEST(Regex, HasClassesByName) {
  // A sign, a number, a mark that is a letter too, a letter that is small and none of Ll, a numeral in capitals.
  const std::string text = "\u20ac+\u00b2\u0345\u00aa\u2160.";
  const auto of = [&](std::string_view name) { return matches(cat("[[:", name, ":]]+"), text); };
  EXPECT_EQ(of("punct"), (Texts{"\u20ac+", "."})) << "with symbols";
  EXPECT_EQ(matches("\\p{Punct}+|\\p{^punct}", "\u20ac."), (Texts{"\u20ac", "."}))
      << "and there without";
  EXPECT_EQ(matches("\\p{PosixPunct}", "\u20aca"), (Texts{"\u20ac"}));
  EXPECT_EQ(of("alpha"), (Texts{"\u0345\u00aa\u2160"}));
  EXPECT_EQ(of("alnum"), (Texts{"\u0345\u00aa\u2160"})) << "digits alone are numbers";
  EXPECT_EQ(of("word"), (Texts{"\u0345\u00aa\u2160"}));
  EXPECT_EQ(of("lower"), (Texts{"\u0345\u00aa"}));
  EXPECT_EQ(of("upper"), (Texts{"\u2160"}));
  EXPECT_EQ(matches("[[:graph:]]+", "a\u2066\ue000 \u0378b"), (Texts{"a\u2066\ue000", "b"}));
  EXPECT_EQ(matches("[[:print:]]+", "a \u3000\u2028b\n"), (Texts{"a \u3000", "b"}));
  EXPECT_EQ(matches("[[:^graph:]a]+", "a b\u0378a"), (Texts{"a ", "\u0378a"}));
  EXPECT_EQ(matches("[^[:^punct:]]", "a+b"), (Texts{"+"}));
  EXPECT_EQ(matches("\\p{Uppercase_Letter}\\p{Decimal Number}", "aB1"), (Texts{"B1"}));
  EXPECT_EQ(matches("\\P{Alnum}+", "a-+b"), (Texts{"-+"}));
  EXPECT_EQ(matches("\\w+", "a\u00b2\u2074"), (Texts{"a\u00b2"})) << "numbers of Latin-1 alone";
  EXPECT_EQ(matches("[\\w]+", "a\u00b2"), (Texts{"a"})) << "and not in a class";
}

TEST(Regex, KnowsWhereWordsEnd) {
  EXPECT_EQ(matches("\\b.+?\\b", "ae\u0301 x\u00b2\u203fy"),
            (Texts{"ae\u0301", " ", "x\u00b2\u203fy"}))
      << "marks are of words";
  EXPECT_EQ(matches("a\\Be", "ae a e"), (Texts{"ae"}));
  EXPECT_EQ(matches("[\\b]", "b\b"), (Texts{"\b"}));
}

TEST(Regex, RefusesCaseInClassesWhereItDoesNotCount) {
  // Ruby's has both cases of what is in them.
  const auto said = [](const char* pattern) { return error_of([&] { Regex(pattern, "test"); }); };
  EXPECT_NE(said("(?i)[\\p{Lu}a]").find("'lu' in a class under (?i)"), std::string::npos);
  EXPECT_NE(said("(?i:a|(b[[:^upper:]]))").find("'upper' in a class under (?i)"),
            std::string::npos);
  EXPECT_NE(said("(?i)[a-z&&[^b]]").find("under (?i)"), std::string::npos);
  EXPECT_NE(said("(?x)a{2}?").find("under (?x)"), std::string::npos);
  EXPECT_NE(said("(?x:a*{2})").find("under (?x)"), std::string::npos);
  EXPECT_EQ(matches("(?x: a *? b{1,2}? )", "aabb"), (Texts{"aab", "b"}));
  EXPECT_EQ(matches("(?i:a)[[:upper:]]|(?i)\\p{Ll}(?-i:[\\p{Lu}])", "AB bc aC"),
            (Texts{"AB", "aC"}));
}

TEST(Regex, RepeatsWhatIsRepeated) {
  EXPECT_EQ(matches("a{1,3}+", "aaaaaab"), (Texts{"aaaaaa"})) << "no possessive sign";
  EXPECT_EQ(matches("\\p{N}{1,3}+x", "12345x"), (Texts{"12345x"}));
  EXPECT_EQ(matches("(a|b){2}+", "ababa"), (Texts{"abab"}));
  EXPECT_EQ(matches("(?:a(?i:b)){2}+", "abaBab"), (Texts{"abaB"}));
  EXPECT_EQ(matches("[a-c]{2}{2}", "abcab"), (Texts{"abca"}));
  EXPECT_EQ(matches("a{2}?", "aaa"), (Texts{"aa"})) << "two or none, not two";
  EXPECT_EQ(matches("xa**b", "xaab"), (Texts{"xaab"}));
  EXPECT_EQ(matches("a{1,2}?", "aaa"), (Texts{"a", "a", "a"}));
  EXPECT_EQ(matches("a++a", "aaa"), (Texts{})) << "possessive as in Perl's";
  EXPECT_EQ(matches("\\x{61}{,2}+b", "aaaab"), (Texts{"aaaab"}));
  EXPECT_EQ(matches("x{", "x{"), (Texts{"x{"}));
}

TEST(Regex, TakesFlagsOverAlternatives) {
  EXPECT_EQ(matches("a(?i)b|c", "aBaCbc"), (Texts{"aB", "aC"}));
  EXPECT_EQ(matches("(?:a(?i)b|c)d", "abdaCdaCD"), (Texts{"abd", "aCd"}));
  EXPECT_EQ(matches("(?i)a|B", "Abx"), (Texts{"A", "b"}));
  EXPECT_EQ(matches("\\v|[\\v]x", "\v\n"), (Texts{"\v"})) << "one control, not all of lines";
  EXPECT_EQ(matches("\\p{^L}+", "a12b"), (Texts{"12"}));
  EXPECT_EQ(matches("\\pL+", "aApLL"), (Texts{"pLL"})) << "no property without brackets";
}

TEST(Regex, TakesScriptsAlone) {
  // U+3013 is used with Han and belongs to no script.
  EXPECT_EQ(matches("\\p{Han}+", "\u4f60\u3013\u597d"), (Texts{"\u4f60", "\u597d"}));
  // Of Unicode 15, newer than PCRE2's tables.
  EXPECT_EQ(matches("\\p{Han}+", "a\U00031350\U0002EBF0b"), (Texts{"\U00031350\U0002EBF0"}));
  EXPECT_EQ(matches("\\P{Han}+", "\U000105C0\U00031350"), (Texts{"\U000105C0"}));
  EXPECT_EQ(matches("[\\p{Han}&&[^\u4f60]]|\\P{Han}", "\u4f60\u3013\u597d"),
            (Texts{"\u3013", "\u597d"}));
  EXPECT_EQ(matches("\\p{^Greek}+", "\u03b1b"), (Texts{"b"}));
  EXPECT_EQ(matches("\\p{Alphabetic}+|\\p{Nd}", "ab1-"), (Texts{"ab", "1"})) << "no script";
}

TEST(Regex, LeavesWhatIsTheSame) {
  for (const std::string_view pattern :
       {"(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}]+[\\r\\n]*|\\s+(?!\\S)",
        "[!-/:-~\\-\\]]+", "\\x{4e00}(?<!a)(?=b)", "a\\"}) {
    EXPECT_EQ(perl_syntax(pattern, "test"), pattern);
  }
}

TEST(Regex, RefusesWhatIsWrong) {
  const auto refused = [](const std::string& pattern) {
    return error_of([&] { Regex(pattern, "file"); });
  };
  EXPECT_EQ(refused("[a"), "file: the regular expression '[a' is wrong: a class has no end.");
  EXPECT_NE(refused("a(").find("is wrong at character 2: "), std::string::npos);
  EXPECT_NE(refused("^(").find("of '(?m:^)('"), std::string::npos);
  EXPECT_NE(refused(std::string(1000, '[')).find("nested too deep"), std::string::npos);
}

}  // namespace
}  // namespace graft::core
