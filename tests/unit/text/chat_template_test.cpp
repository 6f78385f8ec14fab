#include "core/text/chat_template.hpp"

#include "tests/unit/text/support.hpp"

namespace graft::core {
namespace {

using namespace testing_text;

std::string render(std::string_view source, const Json& variables = Json::object()) {
  return ChatTemplate::parse(source, Json::object()).render(variables);
}

TEST(ChatTemplate, GoldensOfJinja) {
  for (const Json& golden : Json::parse(read_file(golden("templates.json")))) {
    const std::string source = golden["template"];
    SCOPED_TRACE(source);
    const ChatTemplate parsed = ChatTemplate::parse(source, Json::object());
    if (golden.contains("text")) {
      EXPECT_EQ(parsed.render(golden["variables"]), golden["text"]);
    } else {
      const std::string message = error_of([&] { parsed.render(golden["variables"]); });
      if (golden.contains("raised")) {
        EXPECT_EQ(message, golden["raised"]);
      } else {
        EXPECT_EQ(message.rfind("chat template, line ", 0), 0u) << message;
      }
    }
  }
}

struct Refused {
  const char* source;
  const char* message;
};

TEST(ChatTemplate, RefusesWithLineAndColumn) {
  const Refused cases[] = {
      {"a\n {% macro f() %}{% endmacro %}",
       "chat template, line 2, column 5: the statement 'macro' is not supported."},
      {"{% include 'x' %}", "line 1, column 4: the statement 'include' is not supported"},
      {"{% raw %}{% endraw %}", "the statement 'raw' is not supported"},
      {"{{ x|\nfrom_json }}", "line 2, column 1: the filter 'from_json' is not supported"},
      {"{{ x is odder }}", "column 9: the test 'odder' is not supported"},
      {"{% if x %}\nabc", "line 1, column 4: 'if' has no 'endif'"},
      {"{% for x in y %}{% if z %}{% endfor %}", "the statement 'endfor' is not supported"},
      {"{{ 1 + }}", "expected an expression, but there is the end of the tag"},
      {"{{ (1 }}", "column 7: unexpected '}'"},
      {"{{ 'abc }}", "column 4: the string has no end"},
      {"{{ a", "line 1, column 1: the tag has no '}}'"},
      {"{# a", "the comment has no end"},
      {"{{ a b }}", "expected '}}', but there is 'b'"},
      {"{{ a ! b }}", "unexpected character '!'"},
      {"{{ 12ab }}", "a number must not run into a name"},
      {"{{ 99999999999999999999 }}", "the integer is too large"},
      {"{% break %}", "'break' outside of a loop"},
      {"{% set true = 1 %}", "'true' cannot be set"},
      {"{% for x in y recursive %}{% endfor %}", "'recursive' is not supported"},
      {"{{ f(*x) }}", "'*' in arguments is not supported"},
      {"{{ f(a=1, 2) }}", "an argument without a name after one with a name"},
      {"{{ x[] }}", "the index is missing"},
      {"{{ '\\ud800' }}", "the escape is not one character"},
      {"{% set x | upper %}a{% endset %}", "a filter of a set block is not supported"},
      {"{{ x is defined is defined }}", "no second 'is'"},
      {"a\xFF", "line 1, column 2: the template is not UTF-8"},
  };
  for (const Refused& c : cases) {
    const std::string message = error_of([&] { ChatTemplate::parse(c.source, Json::object()); });
    EXPECT_NE(message.find(c.message), std::string::npos) << c.source << "\n" << message;
  }
}

TEST(ChatTemplate, EveryCutAndFlipGivesAnErrorOrAText) {
  const std::string source = read_file(golden("tiny-tokenizer/tokenizer_config.json"));
  const std::string text =
      Json::parse(source)["chat_template"].get<std::string>() +
      "{% set ns = namespace(a=[1, 'x', {'k': none}]) %}{{ ns.a[1:] | tojson(indent=2) }}";
  const Json variables = {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}};
  const auto attempt = [&](const std::string& changed) {
    try {
      render(changed, variables);
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), GRAFT_E_INVALID);
    }
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    attempt(text.substr(0, at));
    for (const char flip : {'\x01', '\x04', '\x10', '\x80'}) {
      std::string changed = text;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      attempt(changed);
    }
  }
}

TEST(ChatTemplate, LoadsFromAFolder) {
  const auto loaded = ChatTemplate::load(golden("tiny-tokenizer"));
  ASSERT_TRUE(loaded.has_value());
  const Json variables = {{"messages", {{{"role", "user"}, {"content", "Hi"}}}},
                          {"add_generation_prompt", true}};
  EXPECT_EQ(loaded->render(variables), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(loaded->hash().size(), 64u);
}

TEST(ChatTemplate, TheJinjaFileWinsAndTokensComeFromTheConfig) {
  const Folder folder;
  EXPECT_FALSE(ChatTemplate::load(folder.path()).has_value());
  folder.write("tokenizer_config.json",
               R"({"bos_token":{"content":"<b>"},"eos_token":"<e>","pad_token":null,
                   "chat_template":[{"name":"tool_use","template":"t"},
                                    {"name":"default","template":"d{{ bos_token }}"}]})");
  EXPECT_EQ(ChatTemplate::load(folder.path())->render(Json::object()), "d<b>");
  const fs::path file = folder.write("chat_template.jinja",
                                     "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}");
  EXPECT_EQ(ChatTemplate::load(folder.path())->render(Json::object()), "<b><e>False");
  EXPECT_EQ(ChatTemplate::load(folder.path())->render({{"bos_token", "mine"}}), "mine<e>False");
  EXPECT_EQ(ChatTemplate::load(file)->render(Json::object()), "False");
}

TEST(ChatTemplate, VariablesThatTransformersAlwaysPasses) {
  EXPECT_EQ(render("{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}"),
            "TrueTrueFalse");
}

TEST(ChatTemplate, TimeIsNow) {
  const std::string year = render("{{ strftime_now('%Y') }}");
  EXPECT_EQ(year.size(), 4u);
  EXPECT_GE(std::stoi(year), 2024);
  EXPECT_EQ(render("{{ strftime_now('') }}"), "");
}

TEST(ChatTemplate, GenerationBlocksPrintTheirBody) {
  EXPECT_EQ(render("a{% generation %}b{% endgeneration %}c"), "abc");
}

TEST(ChatTemplate, SharedTemplatesParseOrNameWhatIsMissing) {
  SHARED_DATA_OR_SKIP(data);
  int parsed = 0;
  for (const auto& entry : fs::directory_iterator(data / "chat-templates")) {
    try {
      parsed += ChatTemplate::load(entry.path()).has_value() ? 1 : 0;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("is not supported"), std::string::npos)
          << entry.path() << ": " << error.what();
    }
  }
  EXPECT_GE(parsed, 25);
}

}  // namespace
}  // namespace graft::core
