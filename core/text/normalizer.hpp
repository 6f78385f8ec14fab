// First stage of a tokenizer: text to normal form, with the way back to the input's bytes.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/text/aligned.hpp"

namespace graft::core {

/// Writes the normal form to `out` and returns true, or returns false where `in` is normal already.
using Normalizer = std::function<bool(const TextView& in, AlignedText& out)>;

/// From the "normalizer" of a tokenizer.json; null gives an empty function. Throws
/// GRAFT_E_INVALID with the name of a kind that is not supported.
Normalizer make_normalizer(const Json& config, std::string_view who);

/// Unicode's normal forms: NFD, with `compose` NFC; with `compatible` NFKD and NFKC.
Normalizer normal_form(bool compose, bool compatible);

/// BERT's: control characters out, spaces around CJK, accents off, small letters.
struct BertNormalization {
  bool clean_text = true, handle_chinese_chars = true, strip_accents = true, lowercase = true;
};
Normalizer bert_normalizer(BertNormalization options);

/// SentencePiece's map of characters, in its binary form: a double-array trie and the texts that
/// its values point to. Throws GRAFT_E_INVALID when the bytes are no such map.
Normalizer charsmap_normalizer(std::string bytes, std::string_view who);

/// Each letter by itself: no final sigma.
bool lowercase(const TextView& in, AlignedText& out);

/// SentencePiece's: one space for several, none at the ends.
bool single_spaces(const TextView& in, AlignedText& out);

Normalizer prepend_text(std::string text);
Normalizer replace_text(std::string text, std::string by);
Normalizer strip_white_space(bool left, bool right);
Normalizer one_after_the_other(std::vector<Normalizer> steps);

}  // namespace graft::core
