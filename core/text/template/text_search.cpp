// Methods of str that look for something in it.
#include <algorithm>

#include "core/text/template/python.hpp"
#include "core/text/template/text_methods.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

/// A part of a text between two places, which count in characters; from the end where negative.
struct Window {
  std::string_view text;
  std::size_t begin = 0;  // in characters
  bool valid = true;      // nothing is found where the window begins behind the text
};

Window window_of(const std::string& text, Arguments& a) {
  const Value start = a.take("start", {}), stop = a.take("end", {});
  a.done();
  if (start.is_none() && stop.is_none()) return {text};
  const auto size = static_cast<std::int64_t>(length(Value(text)));
  const auto place = [&](const Value& value, std::int64_t otherwise) {
    if (value.is_none()) return otherwise;
    if (!value.is_integer())
      throw Failure(cat("a place must be an int, not a ", value.type_name()));
    const std::int64_t at = value.as_integer();
    return at < 0 ? std::max<std::int64_t>(at + size, 0) : at;
  };
  const std::int64_t begin = place(start, 0), end = std::min(place(stop, size), size);
  if (begin > end) return {{}, 0, false};
  std::size_t first = 0, last = 0;
  for (std::int64_t i = 0; i < begin; ++i) utf8_next(text, first);
  last = first;
  for (std::int64_t i = begin; i < end; ++i) utf8_next(text, last);
  return {std::string_view(text).substr(first, last - first), static_cast<std::size_t>(begin)};
}

/// The place in characters, or -1.
std::int64_t place_of(const std::string& text, Arguments& a, bool last) {
  const std::string part = a.text("sub");
  const Window window = window_of(text, a);
  a.limits.text(text.size());
  if (!window.valid) return -1;
  const std::size_t found = last ? window.text.rfind(part) : window.text.find(part);
  if (found == window.text.npos) return -1;
  return static_cast<std::int64_t>(window.begin + length(Value(window.text.substr(0, found))));
}

Value required(std::int64_t place) {
  if (place < 0) throw Failure("the part is not in the text");
  return place;
}

/// One text or a tuple of them.
Value has_affix(const std::string& text, Arguments& a, bool at_end) {
  const Value affix = a.require("affix");
  const Window window = window_of(text, a);
  const List all = affix.is_tuple() ? *affix.list() : List{affix};
  for (const Value& one : all) {
    if (!one.is_text()) throw Failure(cat("expected a str, not a ", one.type_name()));
    if (!window.valid) continue;
    if (at_end ? window.text.ends_with(*one.text()) : window.text.starts_with(*one.text()))
      return true;
  }
  return false;
}

}  // namespace

Value text_find(const std::string& text, Arguments& a) {
  return place_of(text, a, false);
}
Value text_rfind(const std::string& text, Arguments& a) {
  return place_of(text, a, true);
}
Value text_index(const std::string& text, Arguments& a) {
  return required(place_of(text, a, false));
}
Value text_rindex(const std::string& text, Arguments& a) {
  return required(place_of(text, a, true));
}
Value text_startswith(const std::string& text, Arguments& a) {
  return has_affix(text, a, false);
}
Value text_endswith(const std::string& text, Arguments& a) {
  return has_affix(text, a, true);
}

Value text_count(const std::string& text, Arguments& a) {
  const std::string part = a.text("sub");
  const Window window = window_of(text, a);
  a.limits.text(text.size());
  if (!window.valid) return std::int64_t{0};
  if (part.empty()) return Value::integer(length(Value(window.text)) + 1);
  std::int64_t times = 0;
  for (std::size_t at = window.text.find(part); at != window.text.npos;
       at = window.text.find(part, at + part.size())) {
    ++times;
  }
  return times;
}

}  // namespace graft::core::jinja
