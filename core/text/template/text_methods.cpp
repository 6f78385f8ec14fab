#include "core/text/template/text_methods.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <limits>

#include "core/text/template/python.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

void append_upper(std::string& out, char32_t c) {
  if (c == 0xDF) {  // the one common letter whose capital form is two letters
    out += "SS";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}

void append_lower(std::string& out, char32_t c) {
  if (c == 0x130) {
    out += "i\xCC\x87";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

/// Splits at `separator` from the left, `most` times.
List split_left(std::string_view text, std::string_view separator, std::size_t most) {
  List out;
  std::size_t at = 0;
  while (out.size() < most) {
    const std::size_t found = text.find(separator, at);
    if (found == text.npos) break;
    out.emplace_back(text.substr(at, found - at));
    at = found + separator.size();
  }
  out.emplace_back(text.substr(at));
  return out;
}

List split_right(std::string_view text, std::string_view separator, std::size_t most) {
  List out;
  while (out.size() < most) {
    const std::size_t found = text.rfind(separator);
    if (found == text.npos) break;
    out.emplace_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  out.emplace_back(text);
  std::reverse(out.begin(), out.end());
  return out;
}

/// Splits at runs of white space.
List split_words(std::string_view text, std::size_t most) {
  List out;
  text = strip(text, true, false);
  while (!text.empty()) {
    std::size_t end = 0;
    while (end < text.size()) {
      std::size_t next = end;
      if (is_space(utf8_next(text, next))) break;
      end = next;
    }
    if (out.size() == most) {
      out.emplace_back(text);
      break;
    }
    out.emplace_back(text.substr(0, end));
    text = strip(text.substr(end), true, false);
  }
  return out;
}

List split_words_right(std::string_view text, std::size_t most) {
  const List words = split_words(text, std::numeric_limits<std::size_t>::max());
  if (words.size() <= most) return words;
  // What is left of the last words stays as it is.
  text = strip(text, false, true);
  for (std::size_t i = 0; i < most; ++i) {
    text.remove_suffix(words[words.size() - 1 - i].text()->size());
    text = strip(text, false, true);
  }
  List out{strip(text, false, true)};
  out.insert(out.end(), words.end() - static_cast<std::ptrdiff_t>(most), words.end());
  return out;
}

Value split_with(const std::string& text, Arguments& a, bool right) {
  const Value separator = a.take("sep", {});
  const std::int64_t most = a.integer("maxsplit", -1);
  a.done();
  a.limits.text(text.size());
  a.limits.step(text.size());
  const std::size_t count =
      most < 0 ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(most);
  if (separator.is_none()) {
    return Value::list(right ? split_words_right(text, count) : split_words(text, count));
  }
  if (!separator.is_text() || separator.text()->empty()) {
    throw Failure("a separator must be a str that is not empty");
  }
  return Value::list(right ? split_right(text, *separator.text(), count)
                           : split_left(text, *separator.text(), count));
}

Value split(const std::string& text, Arguments& a) {
  return split_with(text, a, false);
}
Value rsplit(const std::string& text, Arguments& a) {
  return split_with(text, a, true);
}

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

Value title(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(text.size());
  std::string out;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = utf8_next(text, at);
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
    const bool letter = category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
                        category == UTF8PROC_CATEGORY_LT;
    if (letter && inside) {
      append_lower(out, c);
    } else if (letter && c == 0xDF) {
      out += "Ss";
    } else if (letter) {
      append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
    } else {
      append_utf8(out, c);
    }
    inside = letter;
  }
  return out;
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

/// Before, the separator, after; the text itself on one side where it is not found.
Value parted(const std::string& text, Arguments& a, bool right) {
  const std::string separator = a.text("sep");
  a.done();
  if (separator.empty()) throw Failure("a separator must not be empty");
  const std::size_t at = right ? text.rfind(separator) : text.find(separator);
  if (at == text.npos) return Value::tuple(right ? List{"", "", text} : List{text, "", ""});
  return Value::tuple({text.substr(0, at), separator, text.substr(at + separator.size())});
}

Value partition(const std::string& text, Arguments& a) {
  return parted(text, a, false);
}
Value rpartition(const std::string& text, Arguments& a) {
  return parted(text, a, true);
}

/// Where a line ends: Python's list of breaks.
bool breaks_line(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

Value splitlines(const std::string& text, Arguments& a) {
  const bool keep = truth(a.take("keepends", false));
  a.done();
  a.limits.text(text.size());
  a.limits.step(text.size());
  List out;
  for (const std::string_view line : lines_of(text, keep)) out.emplace_back(line);
  return Value::list(std::move(out));
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
bool is_letter_or_number(utf8proc_category_t c) {
  return is_letter(c) || (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO);
}

Value isspace(const std::string& text, Arguments& a) {
  a.done();
  return !text.empty() && jinja::strip(text, true, false).empty();
}

Value isupper(const std::string& text, Arguments& a) {
  a.done();
  return text == upper(text) && text != lower(text);
}
Value islower(const std::string& text, Arguments& a) {
  a.done();
  return text == lower(text) && text != upper(text);
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

struct Entry {
  std::string_view name;
  TextMethod method;
};

constexpr Entry methods[] = {
    {"capitalize", text_capitalize},
    {"center", centered},
    {"count", text_count},
    {"endswith", text_endswith},
    {"find", text_find},
    {"format", text_format},
    {"index", text_index},
    {"isalnum", all_are<is_letter_or_number>},
    {"isalpha", all_are<is_letter>},
    {"isascii", isascii},
    {"isdecimal", all_are<is_digit>},
    {"isdigit", all_are<is_digit>},
    {"islower", islower},
    {"isspace", isspace},
    {"isupper", isupper},
    {"join", join},
    {"ljust", to_left},
    {"lower", text_lower},
    {"lstrip", lstrip},
    {"replace", text_replace},
    {"partition", partition},
    {"removeprefix", without_prefix},
    {"removesuffix", without_suffix},
    {"rfind", text_rfind},
    {"rindex", text_rindex},
    {"rjust", to_right},
    {"rpartition", rpartition},
    {"rsplit", rsplit},
    {"rstrip", rstrip},
    {"split", split},
    {"splitlines", splitlines},
    {"startswith", text_startswith},
    {"strip", strip_both},
    {"title", title},
    {"upper", text_upper},
    {"zfill", zfill},
};

constexpr std::string_view other_methods[] = {
    "casefold", "encode",      "expandtabs", "format_map", "isidentifier", "isnumeric",
    "istitle",  "isprintable", "maketrans",  "swapcase",   "translate"};

}  // namespace

std::vector<std::string_view> lines_of(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> out;
  for (std::size_t at = 0, begin = 0; at < text.size();) {
    const std::size_t end = at;
    const char32_t c = utf8_next(text, at);
    if (breaks_line(c)) {
      if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
      out.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
      begin = at;
    } else if (at == text.size()) {
      out.push_back(text.substr(begin));
    }
  }
  return out;
}

std::string upper(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) append_upper(out, utf8_next(text, at));
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) append_lower(out, utf8_next(text, at));
  return out;
}

Value text_upper(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(2 * text.size());
  return upper(text);
}

Value text_lower(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(2 * text.size());
  return lower(text);
}

Value text_capitalize(const std::string& text, Arguments& a) {
  a.done();
  a.limits.text(2 * text.size());
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const bool first = at == 0;
    const char32_t c = utf8_next(text, at);
    if (!first) {
      append_lower(out, c);
    } else if (c == 0xDF) {
      out += "Ss";
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
    }
  }
  return out;
}

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
  const auto found = std::find_if(std::begin(methods), std::end(methods),
                                  [&](const Entry& entry) { return entry.name == name; });
  return found != std::end(methods) ? found->method : nullptr;
}

bool is_text_method(std::string_view name) {
  return find_text_method(name) != nullptr ||
         std::find(std::begin(other_methods), std::end(other_methods), name) !=
             std::end(other_methods);
}

}  // namespace graft::core::jinja
