// Second stage of a tokenizer: text to the pieces that the model sees one at a time.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/text/aligned.hpp"
#include "core/text/regex.hpp"
#include "core/text/split.hpp"

namespace graft::core {

/// A text and its pieces, which every pre-tokenizer cuts further. `byte_level` says that the model
/// must see each byte as its character of the byte alphabet; the text itself stays as it is.
struct Pieces {
  TextView text;
  std::vector<TextRange> ranges;
  bool byte_level = false;
  AlignedText storage;  // what `text` views, once a pre-tokenizer has rewritten it

  /// Rewrites the text: piece(writer, range) writes each piece anew.
  void rewrite(const std::function<void(Rewriter&, TextRange)>& piece);
};

using PreTokenizer = std::function<void(Pieces&)>;

/// From the "pre_tokenizer" of a tokenizer.json; null gives an empty function. Throws
/// GRAFT_E_INVALID with the name of a kind that is not supported.
PreTokenizer make_pre_tokenizer(const Json& config, std::string_view who);

PreTokenizer split_at(Regex pattern, SplitBehavior behavior, bool invert);
/// Splits at each character of a class.
PreTokenizer split_at_class(bool (*is_in_class)(char32_t), SplitBehavior behavior);
/// `use_regex`: split with GPT-2's expression first.
PreTokenizer byte_level(bool add_prefix_space, bool use_regex);

/// SentencePiece's words: spaces become `replacement`, which begins the pieces.
enum class Prefix { never, first, always };
PreTokenizer metaspace(std::string replacement, Prefix prefix, bool split);
PreTokenizer bert_words();
PreTokenizer in_sequence(std::vector<PreTokenizer> steps);

inline constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace graft::core
