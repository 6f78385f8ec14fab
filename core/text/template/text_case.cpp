// Methods of str about capital and small letters, as Unicode has them: "ß" is "SS", and a sigma that ends
// a word is another one.
#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "core/text/template/builtins.hpp"
#include "core/text/template/text_methods.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

utf8proc_int32_t code(char32_t c) {
  return static_cast<utf8proc_int32_t>(c);
}
char32_t simple_upper(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(code(c)));
}
char32_t simple_title(char32_t c) {
  return static_cast<char32_t>(utf8proc_totitle(code(c)));
}

bool is_cased(char32_t c) {
  const auto category = utf8proc_category(code(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT;
}

/// What stands inside of words without being a letter with a case.
bool is_passed_over(char32_t c) {
  switch (utf8proc_category(code(c))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x387 || c == 0x2018 ||
             c == 0x2019 || c == 0x2024 || c == 0x2027;
  }
}

/// The letters that a letter is folded to where they are several, as of "ß" and the ligatures.
struct Folded {
  std::array<utf8proc_int32_t, 4> letters{};
  std::size_t size = 0;
};
Folded folded(char32_t c) {
  Folded out;
  // Below these there is but one.
  if (c < 0xDF || utf8proc_category(code(c)) == UTF8PROC_CATEGORY_LU || !is_cased(c)) return out;
  int last_class = 0;
  const auto size = utf8proc_decompose_char(code(c), out.letters.data(),
                                            static_cast<utf8proc_ssize_t>(out.letters.size()),
                                            UTF8PROC_CASEFOLD, &last_class);
  if (size > 1 && size <= static_cast<utf8proc_ssize_t>(out.letters.size())) {
    out.size = static_cast<std::size_t>(size);
  }
  return out;
}

void append_upper(std::string& out, char32_t c) {
  const Folded several = folded(c);
  if (several.size == 0) return append_utf8(out, simple_upper(c));
  for (std::size_t i = 0; i < several.size; ++i) {
    append_utf8(out, simple_upper(static_cast<char32_t>(several.letters[i])));
  }
}

void append_title(std::string& out, char32_t c) {
  const Folded several = folded(c);
  // Where there is one letter for it, as of those with an iota below, that is it.
  if (several.size == 0 || (simple_title(c) != c && c != 0xDF)) {
    return append_utf8(out, simple_title(c));
  }
  if (utf8proc_category(code(c)) == UTF8PROC_CATEGORY_LT) return append_utf8(out, c);
  bool capital = true;
  for (std::size_t i = 0; i < several.size; ++i) {
    const auto letter = static_cast<char32_t>(several.letters[i]);
    const bool iota_below = i > 0 && letter == 0x3B9;
    append_utf8(out, iota_below ? 0x345 : capital ? simple_title(letter) : letter);
    capital = capital && !is_cased(letter);
  }
}

/// Whether the sigma at [begin, end) ends a word of more letters. No word has more marks in a row
/// than are looked at here, so that the work is linear in the text.
bool is_last_of_word(std::string_view text, std::size_t begin, std::size_t end) {
  constexpr std::size_t furthest = 256;
  text = text.substr(0, std::min(text.size(), end + furthest));
  const std::size_t first = begin - std::min(begin, furthest);
  std::size_t at = begin;
  char32_t c = 0;
  do {
    if (at <= first) return false;
    do {
      --at;
    } while (at > first && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
    std::size_t next = at;
    c = utf8_next(text, next);
  } while (is_passed_over(c));
  if (!is_cased(c)) return false;
  while (end < text.size()) {
    c = utf8_next(text, end);
    if (!is_passed_over(c)) return !is_cased(c);
  }
  return true;
}

/// The character at [begin, end) of a text.
void append_lower(std::string& out, std::string_view text, std::size_t begin, std::size_t end,
                  char32_t c) {
  if (c == 0x130) {
    out += "i\xCC\x87";
  } else if (c == 0x3A3) {
    append_utf8(out, is_last_of_word(text, begin, end) ? 0x3C2 : 0x3C3);
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(code(c))));
  }
}

}  // namespace

std::string upper(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) append_upper(out, utf8_next(text, at));
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = utf8_next(text, at);
    append_lower(out, text, begin, at, c);
  }
  return out;
}

Value text_upper(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(3 * text.size());
  return upper(text);
}

Value text_lower(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(2 * text.size());
  return lower(text);
}

Value text_capitalize(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(3 * text.size());
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = utf8_next(text, at);
    begin == 0 ? append_title(out, c) : append_lower(out, text, begin, at, c);
  }
  return out;
}

Value text_title(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(3 * text.size());
  std::string out;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = utf8_next(text, at);
    const bool letter = is_cased(c);
    if (letter && !inside) {
      append_title(out, c);
    } else if (letter) {
      append_lower(out, text, begin, at, c);
    } else {
      append_utf8(out, c);
    }
    inside = letter;
  }
  return out;
}

Value text_casefold(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(3 * text.size());
  std::string out;
  std::array<utf8proc_int32_t, 4> letters{};
  for (std::size_t at = 0; at < text.size();) {
    int last_class = 0;
    const auto size = utf8proc_decompose_char(code(utf8_next(text, at)), letters.data(),
                                              static_cast<utf8proc_ssize_t>(letters.size()),
                                              UTF8PROC_CASEFOLD, &last_class);
    for (utf8proc_ssize_t i = 0; i < size; ++i) {
      append_utf8(out, static_cast<char32_t>(letters[static_cast<std::size_t>(i)]));
    }
  }
  return out;
}

Value text_swapcase(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(3 * text.size());
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = utf8_next(text, at);
    const auto category = utf8proc_category(code(c));
    if (category == UTF8PROC_CATEGORY_LU) {
      append_lower(out, text, begin, at, c);
    } else if (category == UTF8PROC_CATEGORY_LL) {
      append_upper(out, c);
    } else {
      append_utf8(out, c);
    }
  }
  return out;
}

/// Capitals stand behind what has no case, small letters behind letters that have one.
Value text_istitle(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(text.size());
  bool inside = false, any = false;
  for (std::size_t at = 0; at < text.size();) {
    const auto category = utf8proc_category(code(utf8_next(text, at)));
    const bool small = category == UTF8PROC_CATEGORY_LL;
    const bool big = category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
    if ((big && inside) || (small && !inside)) return false;
    inside = small || big;
    any = any || inside;
  }
  return any;
}

Value text_isupper(const std::string& text, Arguments& a) {
  a.done();
  return text == upper(text) && text != lower(text);
}

Value text_islower(const std::string& text, Arguments& a) {
  a.done();
  return text == lower(text) && text != upper(text);
}

}  // namespace graft::core::jinja
