// Second stage of a tokenizer: text to the pieces that the model sees one at a time.
#pragma once
#include <functional>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/text/aligned.hpp"
#include "core/text/regex.hpp"

namespace graft::core {

/// A text and its pieces, which every pre-tokenizer cuts further. `byte_level` says that the model
/// must see each byte as its character of the byte alphabet; the text itself stays as it is.
struct Pieces {
  TextView text;
  std::vector<TextRange> ranges;
  bool byte_level = false;
  AlignedText storage;  // what `text` views, once a pre-tokenizer has rewritten it
};

using PreTokenizer = std::function<void(Pieces&)>;

/// From the "pre_tokenizer" of a tokenizer.json; null gives an empty function. Throws
/// GRAFT_E_INVALID with the name of a kind that is not supported.
PreTokenizer make_pre_tokenizer(const Json& config, std::string_view who);

/// What becomes of the matches that a text is split at.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

PreTokenizer split_at(Regex pattern, SplitBehavior behavior, bool invert);
PreTokenizer split_digits(bool individual);
/// `use_regex`: split with GPT-2's expression first.
PreTokenizer byte_level(bool add_prefix_space, bool use_regex);
PreTokenizer in_sequence(std::vector<PreTokenizer> steps);

inline constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace graft::core
