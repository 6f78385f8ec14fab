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

/// Templates of gpt-oss read "thinking", others "reasoning_content"; conversations have either.
TEST(ChatTemplate, ReasoningHasAllItsNames) {
  const std::string source =
      "{% for m in messages %}[{{ m.thinking }}|{{ m.reasoning_content }}|{{ m.reasoning }}]{% "
      "endfor %}";
  const auto of = [&](const Json& message) { return render(source, {{"messages", {message}}}); };
  EXPECT_EQ(of({{"role", "assistant"}, {"reasoning_content", "a"}}), "[a|a|]");
  EXPECT_EQ(of({{"role", "assistant"}, {"thinking", "b"}}), "[b|b|]");
  EXPECT_EQ(of({{"role", "assistant"}, {"reasoning", "c"}, {"thinking", nullptr}}), "[None|c|c]");
  EXPECT_EQ(of({{"role", "assistant"}, {"content", "d"}}), "[||]");
}

struct Refused {
  const char* source;
  const char* message;
};

TEST(ChatTemplate, RefusesWithLineAndColumn) {
  const Refused cases[] = {
      {"a\n {% include 'x' %}",
       "chat template, line 2, column 5: the statement 'include' is not supported."},
      {"{% extends 'x' %}", "line 1, column 4: the statement 'extends' is not supported"},
      {"{% raw %}{% endra %}", "line 1, column 1: the raw block has no end"},
      {"{% macro f(a=1, b) %}{% endmacro %}",
       "expected a default, as the parameter before has one"},
      {"{% macro f() %}", "line 1, column 4: 'macro' has no 'endmacro'"},
      {"{% call x %}{% endcall %}", "'call' needs the call of a macro"},
      {"{% for x in y %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}",
       "'break' outside of a loop"},
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
      {"{{ 99999999999999999999 }}", "the integer is too large"},
      {"{% for a, in x %}{% endfor %}", "expected 'in', but there is 'x'"},
      {"{% set (n.a, b) = 1, 2 %}", "column 10: expected ')', but there is '.'"},
      {"{% block a %}{% endblock %}{% block a %}{% endblock %}", "the block 'a' is there twice"},
      {"{% break %}", "'break' outside of a loop"},
      {"{% set true = 1 %}", "'true' cannot be set"},
      {"{{ f(*x, *y) }}", "an argument without a name after one with a name"},
      {"{{ f(**x, y=1) }}", "column 11: an argument after '**'"},
      {"{% macro f(a, b, a) %}{% endmacro %}", "column 18: the parameter 'a' is there twice"},
      {"{{ f(a=1, 2) }}", "an argument without a name after one with a name"},
      {"{{ x[] }}", "the index is missing"},
      {"{{ '\\ud800' }}", "the escape is not one character"},
      {"{{ 'a\\N{BULLET}' }}", "characters by name are not supported"},
      {"{% set x | nope %}a{% endset %}", "the filter 'nope' is not supported"},
      {"{% if 1 %}{% for x in y %}{{ x|nope }}{% endfor %}{% endif %}",
       "the filter 'nope' is not supported"},
      {"{{ x is defined is defined }}", "no second 'is'"},
      {"{{ x is number if y else 1 }}", "expected '}}', but there is 'y'"},
      {"{% for loop in x %}{% endfor %}", "column 4: a loop has its own 'loop'"},
      {"{% for x in y %}{% set loop = 1 %}{% endfor %}", "a loop has its own 'loop'"},
      {"a\xFF", "line 1, column 2: the template is not UTF-8"},
  };
  for (const Refused& c : cases) {
    const std::string message = error_of([&] { ChatTemplate::parse(c.source, Json::object()); });
    EXPECT_NE(message.find(c.message), std::string::npos) << c.source << "\n" << message;
  }
}

TEST(ChatTemplate, NumbersAreWrittenAsInJinja) {
  EXPECT_EQ(render("{{ 1_000 }} {{ 0x1F }} {{ 0B1_1 }} {{ 0o_17 }} {{ 00_0 }} {{ 1_0.2_5e1_0 }} {{ "
                   "01.5 }} {{ 5if 1 else 2 }}"),
            "1000 31 3 15 0 102500000000.0 1.5 5");
  EXPECT_EQ(render("{{ l.1.0 }}", {{"l", {1, {2, 3}}}}), "2") << "no 1.0";
  EXPECT_EQ(render("{{ '\u0663\u1d7da'|int + 0 }} {{ '\U0001d7ce\U0001d7e3'|float }}"), "0 1.0");
  EXPECT_EQ(render("{{ '\u0663\u0664'|int }}"), "34");
  for (const char* source : {"{{ 012 }}", "{{ 1__0 }}", "{{ 0x }}", "{{ 1_ }}", "{{ 0b12 }}"}) {
    EXPECT_NE(error_of([&] { render(source); }).find("expected '}}', but there is"),
              std::string::npos)
        << source;
  }
}

TEST(ChatTemplate, FormatsTakeNames) {
  const Json d = {{"d", {{"k", 1}, {"a)(", "x"}}}};
  EXPECT_EQ(render("{{ '%(k)03d|%(k)s%%' % d }}{{ '%(b)s' | format(b=2) }}", d), "001|1%2");
  EXPECT_EQ(render("{{ '%c%3c' % (65, '\u00e9') }}"), "A  \u00e9");
  EXPECT_NE(error_of([&] { render("{{ '%(z)s' % d }}", d); }).find("'%(z)' is not in the dict"),
            std::string::npos);
  EXPECT_NE(error_of([&] { render("{{ '%(z)s' % 1 }}"); }).find("'%(z)' needs a dict"),
            std::string::npos);
  EXPECT_NE(error_of([&] { render("{{ '%(z' % d }}", d); }).find("has no end"), std::string::npos);
  EXPECT_NE(error_of([&] { render("{{ '%c' % 'ab' }}"); }).find("needs a character"),
            std::string::npos);
  EXPECT_NE(error_of([&] { render("{{ '%s' | format(1, b=2) }}"); }).find("by place and by name"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              render("{% macro m(caller) %}{{ caller }}{% endmacro %}");
            }).find("needs a default"),
            std::string::npos);
}

TEST(ChatTemplate, ErrorsOfARunTellTheirPlace) {
  EXPECT_EQ(error_of([] {
              render("a\n{{ x.y.z }}", {{"x", Json::object()}});
            }),
            "chat template, line 2, column 7: 'y' is undefined, so it has no member 'z'.");
  EXPECT_NE(error_of([] {
              render("{{ 'x'.encode() }}");
            }).find("the method 'encode' of a str is not supported"),
            std::string::npos);
  // Python has these; where they were undefined, the text would differ in silence.
  for (const char* source : {"{{ (1).real is defined }}", "{{ 1.5.is_integer() }}", "{{ self }}",
                             "{% macro m() %}{% endmacro %}{{ m.arguments }}",
                             "{{ ('<'|e).split() }}", "{{ '%s'|e|format(1) }}"}) {
    EXPECT_NE(error_of([&] { render(source); }).find("is not supported"), std::string::npos)
        << source;
  }
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
  stopped(start + loop + "{% set ns.x = [ns.x].index %}" + end, "nested deeper than 200");
  stopped(start + loop + "{% for b in [ns.x] %}{% set ns.x = loop %}{% endfor %}" + end,
          "nested deeper than 200");
  stopped("{{ 'a'|indent(1000000000) }}", "too long");
  stopped("{{ ('a\n' * 60000)|indent(60000) }}", "a text longer than");
  stopped("{{ '{:1000000000}'.format('a') }}", "a number above 100000");
  stopped("{{ 'a'.ljust(9223372036854775807) }}", "the width is too large");
  stopped("{{ strftime_now('%1000000000d') }}", "writes too much");
  stopped("{{ 9223372036854775807 + 1 }}", "too large");
  stopped("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "a recursion deeper than 800");
  stopped("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "a recursion deeper than 800");
  stopped("{{ '%1000000000s' % 'a' }}", "a number above 100000");
  stopped("{{ 'a'|center(10000000000) }}", "a text longer than");
  stopped("{{ 2 ** 64 }}", "too large");
  stopped("{{ -9223372036854775807 * 2 }}", "too large");
}

TEST(ChatTemplate, NamespacesMayHoldEachOther) {
  EXPECT_EQ(render("{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = [b, a] %}"
                   "{% set a.x = 7 %}{{ a.b[0].a.x }}"),
            "7");
}

TEST(ChatTemplate, NamesInNamespacesDoNotBeginWithUnderscores) {
  for (const char* source : {"{{ namespace(_x=1).a }}", "{% set ns = namespace({'_x': 1}) %}",
                             "{% set ns = namespace() %}{% set ns._x = 1 %}"}) {
    EXPECT_NE(error_of([&] { render(source); }).find("must not begin with '_'"), std::string::npos)
        << source;
  }
}

TEST(ChatTemplate, GenerationBlocksHaveAScope) {
  EXPECT_EQ(render("{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}[{{ q }}]"), "1[]");
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
  const TemporaryFolder folder;
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

TEST(ChatTemplate, GenerationBlocksMarkWhatTheyPrint) {
  const ChatTemplate marks = ChatTemplate::parse(
      "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}"
      "{{ m.content }}</s>{% endgeneration %}{% endif %}{% endfor %}",
      Json::object());
  const Json variables = Json::parse(R"({"messages": [{"role": "user", "content": "x"},
      {"role": "assistant", "content": "caf\u00e9"}, {"role": "assistant", "content": ""}]})");
  const RenderedChat chat = marks.render_marked(variables);
  EXPECT_EQ(chat.text, "<user><assistant>caf\u00e9</s><assistant></s>");
  ASSERT_EQ(chat.generated.size(), 2u);
  EXPECT_EQ(chat.generated[0].begin, 17u);
  EXPECT_EQ(chat.generated[0].end, 26u);
  EXPECT_EQ(chat.generated[1].begin, 37u);
  EXPECT_TRUE(marks.marks_generation(variables));
  EXPECT_FALSE(ChatTemplate::parse("a", Json::object()).marks_generation(variables));
  EXPECT_NE(error_of([] {
              ChatTemplate::parse(
                  "{% macro f() %}{% generation %}x{% endgeneration %}{% endmacro %}"
                  "{{ f() }}",
                  Json::object())
                  .render_marked(Json::object());
            }).find("a generation block inside a macro"),
            std::string::npos);
}

TEST(ChatTemplate, ContinuesTheFinalMessage) {
  const ChatTemplate chat = ChatTemplate::parse(
      "{% for m in messages %}[{{ m.content }}]{% endfor %}{% if add_generation_prompt %}>{% endif "
      "%}",
      Json::object());
  const auto continued = [&](const Json& last) {
    return chat.render({{"messages", {{{"content", "a"}}, {{"content", last}}}},
                        {"continue_final_message", true}});
  };
  EXPECT_EQ(continued("b c "), "[a][b c ") << "the space that the template wrote";
  EXPECT_EQ(continued("a"), "[a][a");
  EXPECT_EQ(ChatTemplate::parse("{{ messages[0].content|trim }}<e>", Json::object())
                .render({{"messages", {{{"content", " x "}}}}, {"continue_final_message", true}}),
            "x");
  EXPECT_NE(error_of([&] {
              ChatTemplate::parse("none", Json::object())
                  .render({{"messages", {{{"content", "x"}}}}, {"continue_final_message", true}});
            }).find("is not in what the chat template writes"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              chat.render({{"messages", {{{"content", "x"}}}},
                           {"continue_final_message", true},
                           {"add_generation_prompt", true}});
            }).find("exclude each other"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              chat.render({{"messages", Json::array()}, {"continue_final_message", true}});
            }).find("needs a last message with text"),
            std::string::npos);
}

TEST(ChatTemplate, NamedTemplatesAreTakenByNameOrForTools) {
  const ChatTemplate chat =
      ChatTemplate::parse({{"default", "d"}, {"tool_use", "t"}, {"rag", "r"}}, Json::object());
  EXPECT_EQ(chat.render(Json::object()), "d");
  EXPECT_EQ(chat.render({{"tools", nullptr}}), "d");
  EXPECT_EQ(chat.render({{"tools", Json::array()}}), "t");
  EXPECT_EQ(chat.render({{"chat_template", "rag"}}), "r");
  EXPECT_EQ(chat.source(), "d");
  EXPECT_NE(error_of([&] {
              chat.render({{"chat_template", "x"}});
            }).find("no chat template of the name 'x'; there are: default, rag, tool_use"),
            std::string::npos);
  const TemporaryFolder folder;
  folder.write("chat_template.jinja", "file");
  fs::create_directory(folder.path() / "additional_chat_templates");
  folder.write("additional_chat_templates/rag.jinja", "more");
  const auto loaded = ChatTemplate::load(folder.path());
  EXPECT_EQ(loaded->render({{"chat_template", "rag"}}), "more");
  EXPECT_NE(loaded->hash(), ChatTemplate::parse("file", Json::object()).hash());
}

TEST(ChatTemplate, SharedTemplatesParse) {
  SHARED_DATA_OR_SKIP(data);
  int parsed = 0;
  for (const auto& entry : fs::directory_iterator(data / "chat-templates")) {
    EXPECT_TRUE(ChatTemplate::load(entry.path()).has_value()) << entry.path();
    ++parsed;
  }
  EXPECT_GE(parsed, 43);
}

}  // namespace
}  // namespace graft::core
