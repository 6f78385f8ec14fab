// The character classes that tokenizers use outside of regular expressions.
#pragma once
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

}  // namespace graft::core
