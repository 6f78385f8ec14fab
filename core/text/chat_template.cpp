#include "core/text/chat_template.hpp"

#include <algorithm>

#include "core/base/digest.hpp"
#include "core/tensor/gguf.hpp"
#include "core/text/config.hpp"
#include "core/text/template/evaluator.hpp"
#include "core/text/template/lexer.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {

struct ChatTemplate::Program {
  std::string source, hash;
  std::string text;  // the source as the parser sees it; places in errors refer to it
  jinja::Block statements;
  Json tokens;
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

/// The template in a tokenizer_config.json: a string, or a list of named ones.
std::optional<std::string> source_in(const Json& config, std::string_view who) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const Json& item : *found) {
      if (item.is_object() && text_member(item, "name", who) == "default") {
        return text_member(item, "template", who);
      }
    }
  }
  throw Error(GRAFT_E_INVALID, cat(who, ": \"chat_template\" must be a string, or a list with one ",
                                   "of the name \"default\"."));
}

std::optional<ChatTemplate> load_folder(const fs::path& folder) {
  const fs::path config_file = folder / "tokenizer_config.json";
  Json config = Json::object();
  if (fs::exists(config_file)) {
    config = parse_json(read_file(config_file), config_file.string());
    if (!config.is_object()) {
      throw Error(GRAFT_E_INVALID, cat(config_file.string(), ": must be an object."));
    }
  }
  const fs::path file = folder / "chat_template.jinja";
  if (fs::exists(file)) return ChatTemplate::parse(read_file(file), tokens_of(config));
  const std::optional<std::string> source = source_in(config, config_file.string());
  if (!source) return std::nullopt;
  return ChatTemplate::parse(*source, tokens_of(config));
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
  return ChatTemplate::parse(file.text("tokenizer.chat_template"), tokens);
}

}  // namespace

std::optional<ChatTemplate> ChatTemplate::load(const fs::path& model_or_file) {
  if (fs::is_directory(model_or_file)) return load_folder(model_or_file);
  if (model_or_file.extension() == ".gguf") return load_gguf(model_or_file);
  return parse(read_file(model_or_file), Json::object());
}

ChatTemplate ChatTemplate::parse(std::string_view source, Json tokens) {
  auto program = std::make_shared<Program>();
  program->source = source;
  program->hash = sha256_hex(source);
  program->text = jinja::normalize_source(source);
  program->tokens = std::move(tokens);
  if (const std::size_t bad = utf8_error(program->text); bad != program->text.size()) {
    fail_at(program->text, bad, "the template is not UTF-8");
  }
  try {
    program->statements = jinja::parse(program->text);
  } catch (const jinja::SyntaxFailure& failure) {
    fail_at(program->text, failure.at(), failure.what());
  }
  ChatTemplate out;
  out.program_ = std::move(program);
  return out;
}

std::string ChatTemplate::render(const Json& variables) const {
  // What transformers always passes, even where the caller does not.
  Json all = {{"tools", nullptr}, {"documents", nullptr}, {"add_generation_prompt", false}};
  all.update(program_->tokens);
  if (!variables.is_object()) {
    throw Error(GRAFT_E_INVALID, cat("the variables of a chat template must be an object, not ",
                                     variables.type_name(), "."));
  }
  all.update(variables);
  try {
    return jinja::run(program_->statements, *jinja::Value::from(all).dict());
  } catch (const jinja::RunFailure& failure) {
    fail_at(program_->text, failure.at(), failure.what());
  } catch (const jinja::Failure& failure) {
    throw Error(GRAFT_E_INVALID, cat("chat template: ", failure.what(), "."));
  }
}

const std::string& ChatTemplate::hash() const {
  return program_->hash;
}
const std::string& ChatTemplate::source() const {
  return program_->source;
}

}  // namespace graft::core
