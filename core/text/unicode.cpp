// Hugging Face's classes of characters are of Unicode 16. PCRE2 knows 14 and utf8proc 15, so the differences
// lie in tables; scripts/make_unicode_tables.py finds them out.
#include "core/text/unicode.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <bitset>
#include <iterator>

namespace graft::core {
namespace {

struct CodeRange {
  char32_t first, last;
};
struct StandIn {
  char32_t first, last, other;
};
struct Letter {
  char32_t first, small;
};
struct ScriptRange {
  char32_t first, last;
  int script;
};
#include "core/text/unicode_scripts.inc"
#include "core/text/unicode_tables.inc"

/// The entry of a sorted table that holds `c`, or null.
template <class Entry, std::size_t size>
const Entry* entry_of(const Entry (&table)[size], char32_t c) {
  const Entry* at = std::lower_bound(std::begin(table), std::end(table), c,
                                     [](const Entry& e, char32_t code) { return e.last < code; });
  return at != std::end(table) && at->first <= c ? at : nullptr;
}

bool is_letter(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Pages of 64 characters with one that stand_in_for_newer() replaces.
const std::bitset<0x110000 / 64>& newer_pages() {
  static const auto pages = [] {
    std::bitset<0x110000 / 64> out;
    for (const StandIn& entry : newer_characters) {
      for (char32_t c = entry.first / 64; c <= entry.last / 64; ++c) out.set(c);
    }
    return out;
  }();
  return pages;
}

}  // namespace

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_word_character(char32_t c) {
  if (c < 0x80) return is_letter(c) || (c >= '0' && c <= '9') || c == '_';
  return entry_of(word_characters, c) != nullptr;
}

bool is_number(char32_t c) {
  return c < 0x80 ? c >= '0' && c <= '9' : entry_of(numbers, c) != nullptr;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return c > ' ' && c < 0x7F && !is_letter(c) && !(c >= '0' && c <= '9');
  return entry_of(punctuation, c) != nullptr;
}

bool is_combining_mark(char32_t c) {
  return entry_of(combining_marks, c) != nullptr;
}
bool is_nonspacing_mark(char32_t c) {
  return entry_of(nonspacing_marks, c) != nullptr;
}

bool is_bert_control(char32_t c) {
  if (c < 0x80) return (c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
  return entry_of(bert_controls, c) != nullptr;
}

char32_t small_letter(char32_t c) {
  for (const Letter& letter : newer_small_letters) {
    if (c >= 0x1C89 && letter.first == c) return letter.small;
  }
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

int script_of(char32_t c) {
  if (c == ' ') return 0;
  // Letters and signs of ASCII are those of Latin and of no script; the table begins after them.
  const ScriptRange* entry = entry_of(scripts, c < 0x80 ? (is_letter(c) ? 0xAA : 0xA1) : c);
  return entry != nullptr ? entry->script : 0;
}

bool stand_in_for_newer(std::string_view text, std::string& out) {
  static const auto& pages = newer_pages();
  bool found = false;
  for (std::size_t at = 0; at < text.size();) {
    // All of them take three bytes or four.
    if (static_cast<unsigned char>(text[at]) < 0xE0) {
      ++at;
      continue;
    }
    const std::size_t start = at;
    const char32_t c = utf8_next(text, at);
    if (!pages.test(c / 64)) continue;
    const StandIn* entry = entry_of(newer_characters, c);
    if (entry == nullptr) continue;
    if (!found) out.assign(text);
    found = true;
    std::string bytes;
    append_utf8(bytes, entry->other);
    out.replace(start, bytes.size(), bytes);
  }
  return found;
}

char32_t in_cluster(char32_t c) {
  const StandIn* entry = c < 0x300 ? nullptr : entry_of(in_clusters, c);
  return entry != nullptr ? entry->other : c;
}

int combining_class(char32_t c) {
  const int known = utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
  return known != 0 && entry_of(characters_with_class, c) != nullptr ? known : 0;
}

}  // namespace graft::core
