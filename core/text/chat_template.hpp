// Chat templates: a conversation to the text a model was trained on.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "core/text/aligned.hpp"

namespace graft::core {

/// A rendered conversation.
struct RenderedChat {
  std::string text;
  /// Bytes that the template marks as the assistant's, with generation blocks.
  std::vector<TextRange> generated;
};

/// Parsed templates with the special tokens of their tokenizer as variables (bos_token, eos_token,
/// ...). Immutable; any thread. Constructs that are not supported are refused when parsed, with
/// line and column.
class ChatTemplate {
 public:
  /// From a model folder (chat_template.jinja and additional_chat_templates/, or chat_template in
  /// tokenizer_config.json), from a .gguf file, or from a .jinja file. No template there: nullopt.
  static std::optional<ChatTemplate> load(const fs::path& model_or_file);
  /// `tokens`: object with bos_token, eos_token, ... as strings; may be empty.
  static ChatTemplate parse(std::string_view source, Json tokens);
  /// Several, by name. Where tools are given, "tool_use" is taken if it is there, else "default".
  static ChatTemplate parse(const std::map<std::string, std::string>& sources, const Json& tokens);

  /// `variables`: {"messages": [..], "add_generation_prompt": false, "tools": [..], ...}, as they
  /// are passed to the template, but for two: "chat_template" names one of several templates, and
  /// with "continue_final_message" the text ends with the last message's.
  /// Errors that the template raises come back as GRAFT_E_INVALID with its message.
  std::string render(const Json& variables) const;
  /// The same with the assistant's parts. Throws GRAFT_E_INVALID where the template marks them in
  /// places that cannot be told.
  RenderedChat render_marked(const Json& variables) const;
  /// Whether the template that takes these variables has generation blocks.
  bool marks_generation(const Json& variables) const;

  /// SHA-256 of the sources, hexadecimal.
  const std::string& hash() const { return hash_; }
  /// Of the template for conversations without tools.
  const std::string& source() const;
  /// All of them, by name.
  std::map<std::string, std::string> sources() const;

  struct Program;

 private:
  const Program& program_for(const Json& variables) const;

  std::map<std::string, std::shared_ptr<const Program>> programs_;
  std::string hash_;
};

}  // namespace graft::core
