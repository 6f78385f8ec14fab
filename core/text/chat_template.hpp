// Chat templates: a conversation to the text a model was trained on.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "core/base/file.hpp"
#include "core/base/json.hpp"

namespace graft::core {

/// A parsed template with the special tokens of its tokenizer as variables (bos_token, eos_token,
/// ...). Immutable; any thread. Constructs that are not supported are refused when parsed, with
/// line and column.
class ChatTemplate {
 public:
  /// From a model folder (chat_template.jinja, or chat_template in tokenizer_config.json), from a
  /// .gguf file, or from a .jinja file. No template there: nullopt.
  static std::optional<ChatTemplate> load(const fs::path& model_or_file);
  /// `tokens`: object with bos_token, eos_token, ... as strings; may be empty.
  static ChatTemplate parse(std::string_view source, Json tokens);

  /// `variables`: {"messages": [..], "add_generation_prompt": false, "tools": [..], ...}.
  /// Errors that the template raises come back as GRAFT_E_INVALID with its message.
  std::string render(const Json& variables) const;

  /// SHA-256 of the source, hexadecimal.
  const std::string& hash() const;
  const std::string& source() const;

  struct Program;

 private:
  std::shared_ptr<const Program> program_;
};

}  // namespace graft::core
