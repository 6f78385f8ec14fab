// Canonical composition that keeps the origin of each character. Decomposition and combining
// classes come from utf8proc, which has no alignment of its own.
#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "core/text/normalizer.hpp"
#include "core/text/unicode.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

/// A character of the normal form, with what it does to the characters of the input.
struct Composed {
  char32_t character = 0;
  int combining_class = 0;
  long change = 0;  // 0 replaces a character, > 0 is inserted, -n also removes the n after it
};

/// Only marks and the vowels and finals of Hangul ever join a character before them.
bool may_join(char32_t c) {
  if (c >= 0x1161 && c < 0x11C3) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return true;
    default:
      return false;
  }
}

/// The one character that `a` and `b` compose to, or 0.
char32_t compose(char32_t a, char32_t b) {
  std::array<utf8proc_int32_t, 4> pair{static_cast<utf8proc_int32_t>(a),
                                       static_cast<utf8proc_int32_t>(b), 0, 0};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  const auto length = utf8proc_normalize_utf32(pair.data(), 2, options);
  return length == 1 ? static_cast<char32_t>(pair[0]) : 0;
}

std::vector<Composed> decompose(std::string_view text) {
  std::vector<Composed> out;
  out.reserve(text.size());
  std::size_t sorted = 0;
  const auto sort_marks = [&] {
    std::stable_sort(
        out.begin() + static_cast<std::ptrdiff_t>(sorted), out.end(),
        [](const Composed& a, const Composed& b) { return a.combining_class < b.combining_class; });
  };
  for (std::size_t at = 0; at < text.size();) {
    const char32_t character = utf8_next(text, at);
    std::array<utf8proc_int32_t, 32> parts{};
    int last_class = 0;
    auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(character), parts.data(),
                                         static_cast<utf8proc_ssize_t>(parts.size()),
                                         UTF8PROC_DECOMPOSE, &last_class);
    if (count < 1 || count > static_cast<utf8proc_ssize_t>(parts.size())) {
      parts[0] = static_cast<utf8proc_int32_t>(character);
      count = 1;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      const auto part = static_cast<char32_t>(parts[i]);
      const int mark = combining_class(part);
      if (mark == 0) {
        sort_marks();
        sorted = out.size();
      }
      out.push_back({part, mark, i == 0 ? 0 : 1});
    }
    if (out.size() > sorted && out.back().combining_class == 0) sorted = out.size();
  }
  sort_marks();
  return out;
}

/// Joins each starter with the marks behind it that are not blocked. Works in place.
void recompose(std::vector<Composed>& text) {
  std::size_t kept = 0;
  std::size_t starter = text.size();  // index of the last starter; size() is none
  int last_class = -1;                // class of the last mark kept after it; -1 is none
  for (std::size_t i = 0; i < text.size(); ++i) {
    const Composed next = text[i];
    if (starter != text.size() && last_class < next.combining_class && may_join(next.character)) {
      const char32_t joined = compose(text[starter].character, next.character);
      if (joined != 0) {
        text[starter].character = joined;
        text[starter].change += next.change - 1;
        continue;
      }
    }
    if (next.combining_class == 0) {
      starter = kept;
      last_class = -1;
    } else {
      last_class = next.combining_class;
    }
    text[kept++] = next;
  }
  text.resize(kept);
}

/// Turns characters and their changes into text and the spans of the input they stand for.
void align(const TextView& in, const std::vector<Composed>& text, AlignedText& out) {
  out.text.reserve(in.text.size());
  out.origin.reserve(in.text.size());
  std::size_t at = 0;
  SourceSpan before;  // what the input's character before `at` stands for
  const auto step = [&] {
    if (at >= in.text.size()) return;
    const std::size_t start = at;
    utf8_next(in.text, at);
    before = in.of_character(start, at - start);
  };
  for (const Composed& c : text) {
    SourceSpan span = before;
    if (c.change <= 0) {
      step();
      span = before;
      for (long skip = c.change; skip < 0; ++skip) step();
    }
    std::string bytes;
    append_utf8(bytes, c.character);
    out.append(bytes, span);
  }
}

}  // namespace

bool normalize_nfc(const TextView& in, AlignedText& out) {
  // Below U+0300 everything is composed.
  const bool plain = std::none_of(in.text.begin(), in.text.end(), [](char byte) {
    return static_cast<unsigned char>(byte) >= 0xCC;
  });
  if (plain) return false;
  std::vector<Composed> text = decompose(in.text);
  recompose(text);
  std::string composed;
  composed.reserve(in.text.size());
  for (const Composed& c : text) append_utf8(composed, c.character);
  if (composed == in.text) return false;
  align(in, text, out);
  return true;
}

}  // namespace graft::core
