#include "core/text/unicode.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

namespace graft::core {
namespace {

struct CodeRange {
  char32_t first, last;
};
struct StandIn {
  char32_t first, last, other;
};
#include "core/text/unicode_tables.inc"

/// The entry of a sorted table that holds `c`, or null.
template <class Entry, std::size_t size>
const Entry* entry_of(const Entry (&table)[size], char32_t c) {
  const Entry* at = std::lower_bound(std::begin(table), std::end(table), c,
                                     [](const Entry& e, char32_t code) { return e.last < code; });
  return at != std::end(table) && at->first <= c ? at : nullptr;
}

}  // namespace

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_word_character(char32_t c) {
  // Circled and squared letters are Alphabetic, but in a class of symbols.
  if ((c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
      (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189)) {
    return true;
  }
  if (c == 0x200C || c == 0x200D) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

bool stand_in_for_newer(std::string_view text, std::string& out) {
  bool found = false;
  for (std::size_t at = 0; at < text.size();) {
    // All of them take three bytes or four.
    if (static_cast<unsigned char>(text[at]) < 0xE0) {
      ++at;
      continue;
    }
    const std::size_t start = at;
    const StandIn* entry = entry_of(newer_characters, utf8_next(text, at));
    if (entry == nullptr) continue;
    if (!found) out.assign(text);
    found = true;
    std::string bytes;
    append_utf8(bytes, entry->other);
    out.replace(start, bytes.size(), bytes);
  }
  return found;
}

int combining_class(char32_t c) {
  const int known = utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
  return known != 0 && entry_of(characters_with_class, c) != nullptr ? known : 0;
}

}  // namespace graft::core
