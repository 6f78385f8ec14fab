// Methods of str that cut it into parts.
#include <algorithm>
#include <limits>

#include "core/text/template/python.hpp"
#include "core/text/template/text_methods.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

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

/// Before, the separator, after; the text itself on one side where it is not found.
Value parted(const std::string& text, Arguments& a, bool right) {
  const std::string separator = a.text("sep");
  a.done();
  if (separator.empty()) throw Failure("a separator must not be empty");
  const std::size_t at = right ? text.rfind(separator) : text.find(separator);
  if (at == text.npos) return Value::tuple(right ? List{"", "", text} : List{text, "", ""});
  return Value::tuple({text.substr(0, at), separator, text.substr(at + separator.size())});
}

/// Where a line ends: Python's list of breaks.
bool breaks_line(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

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

Value text_split(const std::string& text, Arguments& a) {
  return split_with(text, a, false);
}
Value text_rsplit(const std::string& text, Arguments& a) {
  return split_with(text, a, true);
}

Value text_partition(const std::string& text, Arguments& a) {
  return parted(text, a, false);
}
Value text_rpartition(const std::string& text, Arguments& a) {
  return parted(text, a, true);
}

Value text_splitlines(const std::string& text, Arguments& a) {
  const bool keep = truth(a.take("keepends", false));
  a.done();
  a.limits.text(text.size());
  a.limits.step(text.size());
  List out;
  for (const std::string_view line : lines_of(text, keep)) out.emplace_back(line);
  return Value::list(std::move(out));
}

}  // namespace graft::core::jinja
