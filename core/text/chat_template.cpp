#include "core/text/chat_template.hpp"

#include <algorithm>

#include "core/base/digest.hpp"
#include "core/tensor/gguf.hpp"
#include "core/text/chat_messages.hpp"
#include "core/text/config.hpp"
#include "core/text/template/evaluator.hpp"
#include "core/text/template/lexer.hpp"
#include "core/text/template/python.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {

struct ChatTemplate::Program {
  std::string source;
  std::string text;  // the source as the parser sees it; places in errors refer to it
  jinja::Template parsed;
  Json tokens;
  bool marks_generation = false;
};

namespace {

[[noreturn]] void fail_at(std::string_view text, std::size_t at, const char* message) {
  const std::string_view before = text.substr(0, std::min(at, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::size_t start = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  throw Error(GRAFT_E_INVALID, cat("chat template, line ", line, ", column ",
                                   before.size() - start + 1, ": ", message, "."));
}

/// bos_token, eos_token, ... of a tokenizer_config.json: strings, or objects with a content.
Json tokens_of(const Json& config) {
  Json out = Json::object();
  for (const auto& [key, value] : config.items()) {
    if (key.size() < 7 || key.substr(key.size() - 6) != "_token") continue;
    const bool object = value.is_object() && value.contains("content");
    const Json& name = object ? value["content"] : value;
    if (name.is_string()) out[key] = name;
  }
  return out;
}

using Sources = std::map<std::string, std::string>;

/// The templates in a tokenizer_config.json: a string, or a list of named ones.
Sources sources_in(const Json& config, std::string_view who) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return {};
  if (found->is_string()) return {{"default", found->get<std::string>()}};
  if (!found->is_array()) {
    throw Error(GRAFT_E_INVALID, cat(who, ": \"chat_template\" must be a string, or a list of ",
                                     "{\"name\", \"template\"}."));
  }
  Sources out;
  for (const Json& item : *found) {
    member(item, "name", Json::value_t::string, who);
    member(item, "template", Json::value_t::string, who);
    out[item["name"].get<std::string>()] = item["template"].get<std::string>();
  }
  return out;
}

Json object_in(const fs::path& file) {
  if (!fs::exists(file)) return Json::object();
  Json out = parse_json(read_file(file), file.string());
  if (!out.is_object()) throw Error(GRAFT_E_INVALID, cat(file.string(), ": must be an object."));
  return out;
}

std::optional<ChatTemplate> load_folder(const fs::path& folder) {
  const fs::path config_file = folder / "tokenizer_config.json";
  const Json config = object_in(config_file);
  Json tokens = tokens_of(object_in(folder / "special_tokens_map.json"));
  tokens.update(tokens_of(config));
  // Files go before what the configuration says.
  Sources sources;
  if (fs::exists(folder / "chat_template.jinja")) {
    sources["default"] = read_file(folder / "chat_template.jinja");
  }
  if (fs::is_directory(folder / "additional_chat_templates")) {
    for (const auto& entry : fs::directory_iterator(folder / "additional_chat_templates")) {
      if (entry.path().extension() != ".jinja") continue;
      sources[entry.path().stem().string()] = read_file(entry.path());
    }
  }
  if (sources.empty()) sources = sources_in(config, config_file.string());
  if (sources.empty()) return std::nullopt;
  return ChatTemplate::parse(sources, tokens);
}

std::optional<ChatTemplate> load_gguf(const fs::path& path) {
  const Gguf file = Gguf::open(path);
  if (!file.has("tokenizer.chat_template")) return std::nullopt;
  Json tokens = Json::object();
  if (file.has("tokenizer.ggml.tokens")) {
    const std::vector<std::string_view> pieces = file.texts("tokenizer.ggml.tokens");
    constexpr std::pair<const char*, const char*> names[] = {
        {"bos_token", "tokenizer.ggml.bos_token_id"},
        {"eos_token", "tokenizer.ggml.eos_token_id"},
        {"unk_token", "tokenizer.ggml.unknown_token_id"},
        {"pad_token", "tokenizer.ggml.padding_token_id"}};
    for (const auto& [name, key] : names) {
      const std::int64_t id = file.integer(key, -1);
      if (id >= 0 && id < static_cast<std::int64_t>(pieces.size())) {
        tokens[name] = pieces[static_cast<std::size_t>(id)];
      }
    }
  }
  Sources sources{{"default", std::string(file.text("tokenizer.chat_template"))}};
  constexpr std::string_view named = "tokenizer.chat_template.";
  for (const std::string& key : file.keys()) {
    if (key.starts_with(named)) sources[key.substr(named.size())] = file.text(key);
  }
  return ChatTemplate::parse(sources, tokens);
}

bool has_generation(const jinja::Block& block) {
  return std::any_of(block.begin(), block.end(), [](const jinja::Stmt& s) {
    return s.kind == jinja::StmtKind::generation || has_generation(s.body) ||
           has_generation(s.other);
  });
}

std::shared_ptr<const ChatTemplate::Program> compile(std::string_view source, const Json& tokens) {
  auto program = std::make_shared<ChatTemplate::Program>();
  program->source = source;
  program->text = jinja::normalize_source(source);
  program->tokens = tokens;
  if (const std::size_t bad = utf8_error(program->text); bad != program->text.size()) {
    fail_at(program->text, bad, "the template is not UTF-8");
  }
  try {
    program->parsed = jinja::parse(program->text);
  } catch (const jinja::SyntaxFailure& failure) {
    fail_at(program->text, failure.at(), failure.what());
  }
  program->marks_generation = has_generation(program->parsed.statements);
  return program;
}

/// Stands behind the last message while it is rendered, to be found again; that of transformers, as a template may
/// count its letters. A template that trims messages takes its space.
constexpr std::string_view end_mark = "CONTINUE_FINAL_MESSAGE_TAG ";

/// Cuts what the template wrote behind the last message, so that a model goes on writing it.
void cut_at_mark(std::string_view message, RenderedChat& chat) {
  const std::string_view bare = end_mark.substr(0, end_mark.size() - 1);
  const std::size_t at = chat.text.rfind(bare);
  if (at == chat.text.npos || chat.text.find(jinja::strip(message, true, true)) == chat.text.npos) {
    throw Error(GRAFT_E_INVALID,
                "continue_final_message: the text of the last message is not in what the chat "
                "template writes, so it cannot be continued.");
  }
  const bool keeps_spaces = chat.text.compare(at, end_mark.size(), end_mark) == 0;
  chat.text.resize(at);
  if (!keeps_spaces) chat.text.resize(jinja::strip(chat.text, false, true).size());
  std::erase_if(chat.generated, [&](const TextRange& r) { return r.begin >= chat.text.size(); });
  for (TextRange& range : chat.generated) range.end = std::min(range.end, chat.text.size());
}

/// Takes a flag that is not for the template.
bool take_flag(Json& variables, const char* name) {
  const auto found = variables.find(name);
  if (found == variables.end()) return false;
  const bool value = found->is_boolean() && found->get<bool>();
  variables.erase(found);
  return value;
}

const Json& checked(const Json& variables) {
  if (variables.is_object()) return variables;
  throw Error(GRAFT_E_INVALID, cat("the variables of a chat template must be an object, not ",
                                   variables.type_name(), "."));
}

RenderedChat render_program(const ChatTemplate::Program& program, const Json& variables,
                            bool with_marks) {
  // What transformers always passes, even where the caller does not.
  Json all = {{"tools", nullptr}, {"documents", nullptr}, {"add_generation_prompt", false}};
  all.update(program.tokens);
  all.update(variables);
  all.erase("chat_template");
  alias_reasoning(all);
  const bool continues = take_flag(all, "continue_final_message");
  if (continues && all["add_generation_prompt"] == true) {
    throw Error(GRAFT_E_INVALID,
                "continue_final_message and add_generation_prompt exclude each other: one goes on "
                "with the last message, the other begins a new one.");
  }
  std::string message;
  if (continues) {
    std::string* text = final_text(all);
    if (text == nullptr) {
      throw Error(GRAFT_E_INVALID, "continue_final_message needs a last message with text.");
    }
    message = *text;
    *text += end_mark;
  }
  RenderedChat out;
  try {
    jinja::Rendering rendering = jinja::run(program.parsed, *jinja::Value::from(all).dict());
    if (with_marks && rendering.hidden_spans) {
      throw Error(GRAFT_E_INVALID,
                  "the chat template has a generation block inside a macro or a captured block, so "
                  "the place of what the assistant says is not known.");
    }
    out.text = std::move(rendering.text);
    for (const auto& span : rendering.generated) out.generated.push_back({span.begin, span.end});
  } catch (const jinja::RunFailure& failure) {
    fail_at(program.text, failure.at(), failure.what());
  } catch (const jinja::Failure& failure) {
    throw Error(GRAFT_E_INVALID, cat("chat template: ", failure.what(), "."));
  }
  if (continues) cut_at_mark(message, out);
  return out;
}

}  // namespace

std::optional<ChatTemplate> ChatTemplate::load(const fs::path& model_or_file) {
  if (fs::is_directory(model_or_file)) return load_folder(model_or_file);
  if (model_or_file.extension() == ".gguf") return load_gguf(model_or_file);
  return parse(read_file(model_or_file), Json::object());
}

ChatTemplate ChatTemplate::parse(std::string_view source, Json tokens) {
  return parse(Sources{{"default", std::string(source)}}, tokens);
}

ChatTemplate ChatTemplate::parse(const Sources& sources, const Json& tokens) {
  ChatTemplate out;
  std::string all;
  for (const auto& [name, source] : sources) {
    out.programs_[name] = compile(source, tokens);
    all += sources.size() == 1 ? source : cat(name, '\n', source, '\n');
  }
  out.hash_ = sha256_hex(all);
  return out;
}

const ChatTemplate::Program& ChatTemplate::program_for(const Json& variables) const {
  std::string name = "default";
  const auto asked = variables.find("chat_template");
  const auto tools = variables.find("tools");
  if (asked != variables.end() && asked->is_string()) {
    name = asked->get<std::string>();
  } else if (tools != variables.end() && !tools->is_null() && programs_.contains("tool_use")) {
    name = "tool_use";
  }
  const auto found = programs_.find(name);
  if (found != programs_.end()) return *found->second;
  std::string known;
  for (const auto& [other, program] : programs_) known += cat(known.empty() ? "" : ", ", other);
  throw Error(GRAFT_E_INVALID, cat("there is no chat template of the name '", name,
                                   "'; there are: ", known, ". Name one with \"chat_template\"."));
}

bool ChatTemplate::marks_generation(const Json& variables) const {
  return program_for(variables).marks_generation;
}

std::string ChatTemplate::render(const Json& variables) const {
  return render_program(program_for(checked(variables)), variables, false).text;
}

RenderedChat ChatTemplate::render_marked(const Json& variables) const {
  return render_program(program_for(checked(variables)), variables, true);
}

const std::string& ChatTemplate::source() const {
  const auto found = programs_.find("default");
  return (found != programs_.end() ? found : programs_.begin())->second->source;
}

std::map<std::string, std::string> ChatTemplate::sources() const {
  std::map<std::string, std::string> all;
  for (const auto& [name, program] : programs_) all[name] = program->source;
  return all;
}

}  // namespace graft::core
