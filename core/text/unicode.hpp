// The character classes that tokenizers use outside of regular expressions.
#pragma once
#include <string>
#include <string_view>

#include "core/text/utf8.hpp"

namespace graft::core {

/// Unicode's White_Space property.
bool is_white_space(char32_t c);

/// What \w matches: Alphabetic, marks, decimal digits, connectors, joiners.
bool is_word_character(char32_t c);
inline bool is_word_character(std::string_view text, std::size_t at) {
  return is_word_character(utf8_next(text, at));
}

/// `text` with each character whose class is not the one PCRE2 knows replaced by another of the
/// right class and the same length; false where there is none.
bool stand_in_for_newer(std::string_view text, std::string& out);

/// Canonical combining class, 0 for characters that Hugging Face's normal forms do not know yet.
int combining_class(char32_t c);

}  // namespace graft::core
