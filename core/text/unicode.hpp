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
/// Numbers of every kind.
bool is_number(char32_t c);
/// ASCII's 32 signs and Unicode's punctuation.
bool is_punctuation(char32_t c);
/// Marks as StripAccents knows them, and those of class Mn as BERT does.
bool is_combining_mark(char32_t c);
bool is_nonspacing_mark(char32_t c);
/// What BERT deletes: U+0000, U+FFFD, controls but tab and line ends, formats, private characters.
bool is_bert_control(char32_t c);
/// The small form of a letter, where it is one character; else the character itself.
char32_t small_letter(char32_t c);
/// A number for each script that is told apart; 0 for what goes with any.
int script_of(char32_t c);

/// `text` with each character whose class is not the one PCRE2 knows replaced by another of the
/// right class and the same length; false where there is none.
bool stand_in_for_newer(std::string_view text, std::string& out);

/// The character itself, or where Hugging Face's clusters of characters are not utf8proc's one that makes
/// them so.
char32_t in_cluster(char32_t c);

/// Canonical combining class, 0 for characters that Hugging Face's normal forms do not know yet.
int combining_class(char32_t c);

}  // namespace graft::core
