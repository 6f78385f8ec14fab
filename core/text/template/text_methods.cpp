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
      out.emplace_back(strip(text, false, true));
      break;
    }
    out.emplace_back(text.substr(0, end));
    text = strip(text.substr(end), true, false);
  }
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
    if (right && most >= 0) throw Failure("rsplit without a separator but with a limit");
    return Value::list(split_words(text, count));
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

/// startswith and endswith: one string or a tuple of them.
Value has_affix(const std::string& text, Arguments& a, bool at_end) {
  const Value affix = a.require("prefix");
  a.done();
  const List all = affix.is_tuple() ? *affix.list() : List{affix};
  for (const Value& one : all) {
    if (!one.is_text()) throw Failure(cat("expected a str, not a ", one.type_name()));
    const std::string& part = *one.text();
    if (part.size() > text.size()) continue;
    if (text.compare(at_end ? text.size() - part.size() : 0, part.size(), part) == 0) return true;
  }
  return false;
}

Value startswith(const std::string& text, Arguments& a) {
  return has_affix(text, a, false);
}
Value endswith(const std::string& text, Arguments& a) {
  return has_affix(text, a, true);
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

Value find(const std::string& text, Arguments& a) {
  const std::string part = a.text("sub");
  a.done();
  const std::size_t found = text.find(part);
  if (found == text.npos) return std::int64_t{-1};
  return Value::integer(length(Value(text.substr(0, found))));
}

Value count(const std::string& text, Arguments& a) {
  const std::string part = a.text("sub");
  a.done();
  if (part.empty()) return Value::integer(length(Value(text)) + 1);
  std::int64_t times = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) {
    ++times;
  }
  return times;
}

Value rfind(const std::string& text, Arguments& a) {
  const std::string part = a.text("sub");
  a.done();
  const std::size_t found = text.rfind(part);
  if (found == text.npos) return std::int64_t{-1};
  return Value::integer(length(Value(text.substr(0, found))));
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
  for (std::size_t at = 0, begin = 0; at < text.size();) {
    const std::size_t end = at;
    const char32_t c = utf8_next(text, at);
    if (breaks_line(c)) {
      if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
      out.emplace_back(text.substr(begin, (keep ? at : end) - begin));
      begin = at;
    } else if (at == text.size()) {
      out.emplace_back(text.substr(begin));
    }
  }
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

struct Entry {
  std::string_view name;
  TextMethod method;
};

constexpr Entry methods[] = {
    {"capitalize", text_capitalize},
    {"count", count},
    {"endswith", endswith},
    {"find", find},
    {"isalnum", all_are<is_letter_or_number>},
    {"isalpha", all_are<is_letter>},
    {"isdecimal", all_are<is_digit>},
    {"isdigit", all_are<is_digit>},
    {"islower", islower},
    {"isspace", isspace},
    {"isupper", isupper},
    {"join", join},
    {"lower", text_lower},
    {"lstrip", lstrip},
    {"replace", text_replace},
    {"partition", partition},
    {"removeprefix", without_prefix},
    {"removesuffix", without_suffix},
    {"rfind", rfind},
    {"rpartition", rpartition},
    {"rsplit", rsplit},
    {"rstrip", rstrip},
    {"split", split},
    {"splitlines", splitlines},
    {"startswith", startswith},
    {"strip", strip_both},
    {"title", title},
    {"upper", text_upper},
    {"zfill", zfill},
};

constexpr std::string_view other_methods[] = {
    "casefold", "center",    "encode",    "expandtabs",  "format",   "format_map",
    "index",    "isascii",   "isnumeric", "isprintable", "istitle",  "isidentifier",
    "ljust",    "maketrans", "rindex",    "rjust",       "swapcase", "translate"};

}  // namespace

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
