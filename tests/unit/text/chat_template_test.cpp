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

TEST(ChatTemplate, ErrorsOfARunTellTheirPlace) {
  EXPECT_EQ(error_of([] {
              render("a\n{{ x.y.z }}", {{"x", Json::object()}});
            }),
            "chat template, line 2, column 7: 'y' is undefined, so it has no member 'z'.");
  EXPECT_NE(error_of([] {
              render("{{ 'x'.format(1) }}");
            }).find("the method 'format' of a str is not supported"),
            std::string::npos);
  EXPECT_NE(error_of([] {
              render("{{ 'x'|tojson(nothing=1) }}");
            }).find("there is no argument 'nothing'"),
            std::string::npos);
}

TEST(ChatTemplate, HostileTemplatesAreStopped) {
  const auto stopped = [](const std::string& source, const char* message) {
    const std::string text = error_of([&] { render(source); });
    EXPECT_NE(text.find(message), std::string::npos) << source << "\n" << text;
  };
  const std::string loop = "{% for a in range(100000) %}", end = "{% endfor %}";
  const std::string start = "{% set ns = namespace(x='a') %}";
  stopped(loop + loop + "x" + end + end, "steps");
  stopped(loop + loop + end + end, "steps");
  stopped("{{ 'a' * 1000000000 }}", "too long");
  stopped("{{ [0] * 100000000000 }}", "too long");
  stopped(start + loop + "{% set ns.x = ns.x + ns.x %}" + end, "a text longer than");
  stopped(start + loop + "{% set ns.x = ns.x ~ ns.x %}" + end, "more than");
  // Nests that would be freed by a recursion too deep for the stack.
  stopped(start + loop + "{% set ns.x = [ns.x] %}" + end, "nested deeper than 200");
  stopped(start + loop + "{% set ns.x = {'k': ns.x} %}" + end, "nested deeper than 200");
  stopped(start + loop + "{% set ns.x = [ns.x].append %}" + end, "nested deeper than 200");
  stopped(start + loop + "{% for b in [ns.x] %}{% set ns.x = loop %}{% endfor %}" + end,
          "nested deeper than 200");
  stopped("{{ 'a'|indent(1000000000) }}", "width");
  stopped("{{ strftime_now('%1000000000d') }}", "writes too much");
  stopped("{{ 9223372036854775807 + 1 }}", "too large");
  stopped("{{ 2 ** 64 }}", "too large");
  stopped("{{ -9223372036854775807 * 2 }}", "too large");
}

TEST(ChatTemplate, NamespacesMayHoldEachOther) {
  EXPECT_EQ(render("{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = [b, a] %}"
                   "{% set a.x = 7 %}{{ a.b[0].a.x }}"),
            "7");
}

TEST(ChatTemplate, DeepTemplatesAreRefused) {
  constexpr int times = 20000;
  const auto repeat = [](std::string_view text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
  };
  for (const std::string& source :
       {"{{ " + repeat("(", times) + "1" + repeat(")", times) + " }}",
        "{{ " + repeat("[", times) + repeat("]", times) + " }}",
        "{{ " + repeat("not ", times) + "1 }}", "{{ " + repeat("-", times) + "1 }}",
        "{{ 1" + repeat("+1", times) + " }}", "{{ x" + repeat(".y", times) + " }}",
        "{{ x" + repeat("|trim", times) + " }}", "{{ 1" + repeat(" if 1", times) + " }}",
        "{{ " + repeat("1 if 1 else ", times) + "1 }}", repeat("{% if 1 %}", times),
        repeat("{% for x in y %}", times),
        "{% if 1 %}" + repeat("{% elif 1 %}", times) + "{% endif %}"}) {
    EXPECT_NE(error_of([&] { ChatTemplate::parse(source, Json::object()); }).find("deeper"),
              std::string::npos)
        << source.substr(0, 40);
  }
  EXPECT_EQ(render("{{ 1" + repeat("+1", 300) + " }}"), "301");
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
