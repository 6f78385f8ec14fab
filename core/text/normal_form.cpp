// Unicode's normal forms (UAX 15), with the origin of each character. The text is worked through in
// clusters: characters that cannot change or join each other across their borders.
#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "core/text/characters.hpp"
#include "core/text/normalizer.hpp"
#include "core/text/unicode.hpp"

namespace graft::core {
namespace {

struct FormCharacter {
  char32_t code = 0;
  int combining_class = 0;
  std::size_t uses = 0;  // how many characters of the text go into it
};

/// Only marks and the vowels and finals of Hangul ever join a character before them.
bool joins_backwards(char32_t c) {
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
char32_t compose_pair(char32_t a, char32_t b) {
  // One before the first of Hangul's finals; utf8proc takes it for one, and loses it.
  if (b == 0x11A7) return 0;
  std::array<utf8proc_int32_t, 4> pair{static_cast<utf8proc_int32_t>(a),
                                       static_cast<utf8proc_int32_t>(b), 0, 0};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  const auto length = utf8proc_normalize_utf32(pair.data(), 2, options);
  return length == 1 ? static_cast<char32_t>(pair[0]) : 0;
}

class NormalForm {
 public:
  NormalForm(bool compose, bool compatible)
      : compose_(compose),
        compatible_(compatible),
        first_(compatible ? 0xA0
               : compose  ? 0x300
                          : 0xC0) {}

  bool operator()(const TextView& in, AlignedText& out) const {
    const std::string_view text = in.text;
    std::optional<Rewriter> writer;
    std::vector<FormCharacter> cluster;
    std::string normal;
    std::size_t kept = 0, start = 0;  // start: the last character that the next may join
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = at;
      if (static_cast<unsigned char>(text[at]) < 0x80) {
        start = at++;
        continue;
      }
      const char32_t c = utf8_next(text, at);
      if (is_inert(c)) {
        start = begin;
        continue;
      }
      const std::size_t from = begin > 0 && joins(c) ? start : begin;
      while (at < text.size()) {
        std::size_t next = at;
        const char32_t d = utf8_next(text, next);
        if (is_inert(d) || !joins(d)) break;
        at = next;
      }
      start = from;
      normalise(text.substr(from, at - from), cluster);
      normal.clear();
      for (const FormCharacter& f : cluster) append_utf8(normal, f.code);
      if (normal == text.substr(from, at - from)) continue;
      if (!writer) writer.emplace(in, out);
      writer->keep(kept, from);
      CharacterFlow flow(in, from, at, *writer);
      for (const FormCharacter& f : cluster) flow.put(f.code, f.uses);
      kept = at;
    }
    if (!writer) return false;
    writer->keep(kept, text.size());
    return true;
  }

 private:
  /// Never changes, and joins nothing before it.
  bool is_inert(char32_t c) const {
    return c < first_ || (c >= 0x3400 && c <= 0x9FFF) || (compose_ && c >= 0xAC00 && c <= 0xD7A3);
  }

  /// Characters since Unicode 12.1, which Hugging Face's normal forms leave as they are.
  static bool is_too_new(char32_t c) {
    return c == 0x32FF || (c >= 0xA7F2 && c <= 0xA7F4) || c == 0xAB69 ||
           (c >= 0x10781 && c <= 0x107BA) || c == 0x11938 || c == 0x1F16C ||
           (c >= 0x1E030 && c <= 0x1E06D) || (c >= 0x1FBF0 && c <= 0x1FBF9);
  }

  std::size_t decompose(char32_t c, std::array<utf8proc_int32_t, 32>& parts) const {
    if (is_too_new(c)) {
      parts[0] = static_cast<utf8proc_int32_t>(c);
      return 1;
    }
    int state = 0;
    const int options = UTF8PROC_DECOMPOSE | (compatible_ ? UTF8PROC_COMPAT : 0);
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts.data(),
                                               static_cast<utf8proc_ssize_t>(parts.size()),
                                               static_cast<utf8proc_option_t>(options), &state);
    if (count >= 1 && count <= static_cast<utf8proc_ssize_t>(parts.size())) {
      return static_cast<std::size_t>(count);
    }
    parts[0] = static_cast<utf8proc_int32_t>(c);
    return 1;
  }

  /// Whether `c` may change places with, or be joined to, what is before it.
  bool joins(char32_t c) const {
    std::array<utf8proc_int32_t, 32> parts{};
    decompose(c, parts);
    const auto first = static_cast<char32_t>(parts[0]);
    return combining_class(first) != 0 || joins_backwards(first);
  }

  void normalise(std::string_view text, std::vector<FormCharacter>& out) const {
    out.clear();
    std::array<utf8proc_int32_t, 32> parts{};
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t count = decompose(utf8_next(text, at), parts);
      for (std::size_t i = 0; i < count; ++i) {
        const auto part = static_cast<char32_t>(parts[i]);
        out.push_back({part, combining_class(part), i == 0 ? std::size_t{1} : 0});
      }
    }
    // Marks between two starters are put in the order of their classes.
    for (auto begin = out.begin(); begin != out.end();) {
      const auto is_starter = [](const FormCharacter& f) { return f.combining_class == 0; };
      begin = std::find_if_not(begin, out.end(), is_starter);
      const auto end = std::find_if(begin, out.end(), is_starter);
      std::stable_sort(begin, end, [](const FormCharacter& a, const FormCharacter& b) {
        return a.combining_class < b.combining_class;
      });
      begin = end;
    }
    if (compose_) join(out);
  }

  /// Joins each starter with the marks behind it that no other mark blocks.
  static void join(std::vector<FormCharacter>& text) {
    std::vector<FormCharacter> out;
    out.reserve(text.size());
    std::ptrdiff_t starter = -1;
    for (const FormCharacter& f : text) {
      // Kept between the starter and f: nothing, or marks of lower classes alone.
      const bool touches = starter >= 0 && starter + 1 == static_cast<std::ptrdiff_t>(out.size());
      const bool free = starter >= 0 && (touches || out.back().combining_class < f.combining_class);
      if (free && joins_backwards(f.code)) {
        FormCharacter& base = out[static_cast<std::size_t>(starter)];
        const char32_t joined = compose_pair(base.code, f.code);
        if (joined != 0 && !is_too_new(joined)) {
          base.code = joined;
          base.uses += f.uses;
          continue;
        }
      }
      if (f.combining_class == 0) starter = static_cast<std::ptrdiff_t>(out.size());
      out.push_back(f);
    }
    text = std::move(out);
  }

  bool compose_, compatible_;
  char32_t first_;  // all below stays as it is
};

}  // namespace

Normalizer normal_form(bool compose, bool compatible) {
  return NormalForm(compose, compatible);
}

}  // namespace graft::core
