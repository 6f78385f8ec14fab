// One line of a data file to token ids with labels.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/text/chat_template.hpp"
#include "core/text/tokenizer.hpp"

namespace graft::core {

/// The label of a token that no loss is taken on.
constexpr std::int32_t kNoLabel = -100;

enum class Format { kText, kCompletion, kMessages, kTokens };
const char* to_string(Format format);
/// "text", "completion", "messages", "tokens". Formats that are planned, and words that are none,
/// throw GRAFT_E_INVALID.
Format parse_format(std::string_view name, std::string_view who);

/// What the data needs of a model's tokenizer and template. The functions are called from several
/// threads at once.
struct Encoder {
  std::function<std::vector<Token>(std::string_view text, bool add_special)> encode;
  /// Renders {"messages": .., "tools": .., "add_generation_prompt": ..}; empty where the model has
  /// no template.
  std::function<std::string(const Json& variables)> render;
  /// The same with the bytes that the template marks as the assistant's; nullopt from a template
  /// that marks none. May be empty too.
  std::function<std::optional<RenderedChat>(const Json& variables)> render_marked;
  std::function<bool(std::int32_t id)> is_special;
  std::optional<std::int32_t> eos;
  /// Rows of the embedding: ids are below.
  std::int64_t vocabulary = 0;
};

/// Names of columns where they differ from the format's own: {"prompt": "question"}.
using Fields = std::map<std::string, std::string>;
/// Throws GRAFT_E_INVALID for a key that no format has.
void check_fields(const Fields& fields, std::string_view who);

/// labels[i] is what is to be predicted at the place of ids[i], as in transformers: ids[i] or
/// kNoLabel (a file of tokens may say anything). The first is never predicted.
struct Example {
  std::vector<std::int32_t> ids, labels;

  /// Tokens that a loss is taken on.
  std::int64_t supervised() const;
  /// Cuts at the end; returns whether there was anything to cut.
  bool cut(std::int64_t max_length);
};

/// The format that the columns of a line tell.
Format detect_format(const Json& line, const Fields& fields, std::string_view who);

/// How one source of lines is read.
struct LineReading {
  Format format = Format::kText;
  Fields fields;
  /// `text` and `completion` end with EOS, unless they do already. Scoring leaves it out.
  bool add_eos = true;
};

/// text: all tokens with those that the tokenizer adds, and EOS; all are labelled.
/// completion: prompt and completion tokenized as one text, as in TRL, and EOS; labelled from the
///   first token that holds a byte of the completion.
/// messages: see conversation.hpp.
/// tokens: `input_ids`, and `labels` where given.
/// Throws GRAFT_E_INVALID that begins with `who` ("train.jsonl:12").
Example encode_line(const Json& line, const LineReading& reading, const Encoder& encoder,
                    std::string_view who);
/// A paragraph of a plain text file: format text.
Example encode_text(std::string_view text, bool add_eos, const Encoder& encoder,
                    std::string_view who);

}  // namespace graft::core
