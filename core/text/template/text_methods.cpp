#include "core/text/template/text_methods.hpp"

#include <utf8proc.h>

#include <algorithm>

#include "core/text/template/named.hpp"
#include "core/text/template/python.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

Value stripped(const std::string& text, Arguments& a, bool left, bool right) {
  const Value these = a.take("chars", {});
  a.done();
  a.limits.text(text.size());
  if (these.is_none()) return jinja::strip(text, left, right);
  if (!these.is_text()) throw Failure("strip needs a str");
  return jinja::strip(text, *these.text(), left, right);
}

Value strip_both(const std::string& text, Arguments& a) {
  return stripped(text, a, true, true);
}
Value lstrip(const std::string& text, Arguments& a) {
  return stripped(text, a, true, false);
}
Value rstrip(const std::string& text, Arguments& a) {
  return stripped(text, a, false, true);
}

Value without_prefix(const std::string& text, Arguments& a) {
  const std::string part = a.text("prefix");
  a.done();
  return text.starts_with(part) ? text.substr(part.size()) : text;
}

Value without_suffix(const std::string& text, Arguments& a) {
  const std::string part = a.text("suffix");
  a.done();
  return text.ends_with(part) ? text.substr(0, text.size() - part.size()) : text;
}

/// Whether there is a character and all are of the kind.
template <bool (*is_kind)(utf8proc_category_t)>
Value all_are(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = utf8_next(text, at);
    if (!is_kind(utf8proc_category(static_cast<utf8proc_int32_t>(c)))) return false;
  }
  return !text.empty();
}
bool is_letter(utf8proc_category_t c) {
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}
bool is_digit(utf8proc_category_t c) {
  return c == UTF8PROC_CATEGORY_ND;
}

/// Digits that no decimal numbers are written with: of powers, in circles and the like.
constexpr char32_t other_digits[][2] = {
    {0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
    {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
    {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
    {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
    {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};

Value isdigit(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = utf8_next(text, at);
    const bool other =
        std::any_of(std::begin(other_digits), std::end(other_digits),
                    [&](const auto& range) { return c >= range[0] && c <= range[1]; });
    if (!other && !is_digit(utf8proc_category(static_cast<utf8proc_int32_t>(c)))) return false;
  }
  return !text.empty();
}

bool is_letter_or_number(utf8proc_category_t c) {
  return is_letter(c) || (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO);
}

/// Numbers that are letters in Unicode's eyes, as those of Chinese, are none here.
bool is_number(utf8proc_category_t c) {
  return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

Value isprintable(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (!is_printable(utf8_next(text, at))) return false;
  }
  return true;
}

/// Of plain letters; others are refused, as Unicode has tables of its own for them.
Value isidentifier(const std::string& text, Arguments& a) {
  a.done();
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (std::any_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; })) {
    throw Failure("isidentifier of other than plain letters is not supported");
  }
  return !text.empty() && !(text[0] >= '0' && text[0] <= '9') &&
         std::all_of(text.begin(), text.end(), plain);
}

Value expandtabs(const std::string& text, Arguments& a) {
  const std::int64_t width = a.integer("tabsize", 8);
  a.done();
  if (width > 1000) throw Failure("a tab wider than 1000");
  std::string out;
  std::int64_t column = 0;
  for (const char c : text) {
    if (c == '\t') {
      const std::int64_t spaces = width > 0 ? width - column % width : 0;
      out.append(static_cast<std::size_t>(spaces), ' ');
      column += spaces;
      a.limits.text(static_cast<std::size_t>(spaces));
      continue;
    }
    out += c;
    column = c == '\n' || c == '\r' ? 0 : column + (is_utf8_continuation(c) ? 0 : 1);
  }
  return out;
}

Value isspace(const std::string& text, Arguments& a) {
  a.done();
  return !text.empty() && jinja::strip(text, true, false).empty();
}

Value zfill(const std::string& text, Arguments& a) {
  const std::int64_t width = a.integer("width", 0);
  a.done();
  const auto size = static_cast<std::int64_t>(length(Value(text)));
  if (width <= size) return text;
  a.limits.text(static_cast<std::size_t>(width));
  const bool sign = !text.empty() && (text[0] == '+' || text[0] == '-');
  return text.substr(0, sign ? 1 : 0) + std::string(static_cast<std::size_t>(width - size), '0') +
         text.substr(sign ? 1 : 0);
}

Value join(const std::string& text, Arguments& a) {
  const Value items = a.require("iterable");
  a.done();
  std::string out;
  bool first = true;
  for (const Value& item : iterate(items, a.limits)) {
    if (!item.is_text()) throw Failure(cat("join needs strs, not a ", item.type_name()));
    a.limits.text(out.size() + text.size() + item.text()->size());
    if (!first) out += text;
    first = false;
    out += *item.text();
  }
  return out;
}

Value isascii(const std::string& text, Arguments& a) {
  a.done();
  return std::none_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
}

enum class Side { left, center, right };

Value justified(const std::string& text, Arguments& a, Side side) {
  const std::int64_t width = a.integer("width", 0);
  const std::string fill = a.text("fillchar", " ");
  a.done();
  if (length(Value(fill)) != 1) throw Failure("the fill must be one character");
  const std::int64_t room = width - static_cast<std::int64_t>(length(Value(text)));
  if (room <= 0) return text;
  if (width > static_cast<std::int64_t>(longest_text)) throw Failure("the width is too large");
  a.limits.text(text.size() + static_cast<std::size_t>(room) * fill.size());
  const std::int64_t before = side == Side::left    ? 0
                              : side == Side::right ? room
                                                    : room / 2 + (room & width & 1);
  std::string out;
  for (std::int64_t i = 0; i < before; ++i) out += fill;
  out += text;
  for (std::int64_t i = before; i < room; ++i) out += fill;
  return out;
}
Value centered(const std::string& text, Arguments& a) {
  return justified(text, a, Side::center);
}
Value to_left(const std::string& text, Arguments& a) {
  return justified(text, a, Side::left);
}
Value to_right(const std::string& text, Arguments& a) {
  return justified(text, a, Side::right);
}

constexpr Named<TextMethod> methods[] = {
    {"casefold", text_casefold},
    {"capitalize", text_capitalize},
    {"center", centered},
    {"count", text_count},
    {"endswith", text_endswith},
    {"expandtabs", expandtabs},
    {"find", text_find},
    {"format", text_format},
    {"index", text_index},
    {"isalnum", all_are<is_letter_or_number>},
    {"isalpha", all_are<is_letter>},
    {"isascii", isascii},
    {"isdecimal", all_are<is_digit>},
    {"isdigit", isdigit},
    {"isidentifier", isidentifier},
    {"islower", text_islower},
    {"isnumeric", all_are<is_number>},
    {"isprintable", isprintable},
    {"isspace", isspace},
    {"istitle", text_istitle},
    {"isupper", text_isupper},
    {"join", join},
    {"ljust", to_left},
    {"lower", text_lower},
    {"lstrip", lstrip},
    {"replace", text_replace},
    {"partition", text_partition},
    {"removeprefix", without_prefix},
    {"removesuffix", without_suffix},
    {"rfind", text_rfind},
    {"rindex", text_rindex},
    {"rjust", to_right},
    {"rpartition", text_rpartition},
    {"rsplit", text_rsplit},
    {"rstrip", rstrip},
    {"split", text_split},
    {"splitlines", text_splitlines},
    {"startswith", text_startswith},
    {"strip", strip_both},
    {"swapcase", text_swapcase},
    {"title", text_title},
    {"upper", text_upper},
    {"zfill", zfill},
};

constexpr std::string_view other_methods[] = {"encode", "format_map", "maketrans", "translate"};

}  // namespace

Value text_replace(const std::string& text, Arguments& a) {
  const std::string from = a.text("old"), to = a.text("new");
  const Value count = a.take("count", {});
  a.done();
  if (!count.is_none() && !count.is_integer()) throw Failure("'count' must be an int");
  std::int64_t left = count.is_none() ? -1 : count.as_integer();
  std::string out;
  std::size_t at = 0;
  while (left != 0) {
    // An empty text is found before every character and at the end.
    const std::size_t found = text.find(from, at);
    if (found == text.npos) break;
    a.limits.text(out.size() + to.size() > longest_text ? out.size() + to.size() : to.size());
    out.append(text, at, found - at).append(to);
    at = found + from.size();
    --left;
    if (!from.empty()) continue;
    if (at >= text.size()) return out;
    const std::size_t begin = at;
    utf8_next(text, at);
    out.append(text, begin, at - begin);
  }
  a.limits.text(out.size() + text.size());
  out.append(text, at, text.npos);
  return out;
}

TextMethod find_text_method(std::string_view name) {
  return find_named(methods, name);
}

bool is_text_method(std::string_view name) {
  return find_text_method(name) != nullptr ||
         std::find(std::begin(other_methods), std::end(other_methods), name) !=
             std::end(other_methods);
}

}  // namespace graft::core::jinja
