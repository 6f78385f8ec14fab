#include "core/text/template/python.hpp"

#include <utf8proc.h>

#include <algorithm>

#include "core/text/unicode.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {

bool is_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

bool is_word(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return c == '_' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

bool is_decimal(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
}

std::string with_plain_digits(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = utf8_next(text, at);
    if (c < 0x80 || !is_decimal(c)) {
      out += text.substr(begin, at - begin);
      continue;
    }
    // They lie in tens.
    char32_t before = c;
    while (is_decimal(before - 1)) --before;
    out += static_cast<char>('0' + (c - before) % 10);
  }
  return out;
}

namespace {

template <class Test>
std::string_view strip_where(std::string_view text, bool left, bool right, const Test& test) {
  while (left && !text.empty()) {
    std::size_t next = 0;
    if (!test(utf8_next(text, next))) break;
    text.remove_prefix(next);
  }
  while (right && !text.empty() && test(utf8_before(text, text.size()))) {
    do text.remove_suffix(1);
    while (!text.empty() && (text.data()[text.size()] & 0xC0) == 0x80);
  }
  return text;
}

bool equal_lists(const List& a, const List& b, Limits& limits) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!equal(a[i], b[i], limits)) return false;
  }
  return true;
}

bool equal_dicts(const Dict& a, const Dict& b, Limits& limits) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    limits.step(1 + b.items.size() / 16);
    const Value* other = find_key(b, key, limits);
    if (other == nullptr || !equal(value, *other, limits)) return false;
  }
  return true;
}

}  // namespace

std::string_view strip(std::string_view text, bool left, bool right) {
  return strip_where(text, left, right, is_space);
}

std::string_view strip(std::string_view text, std::string_view these, bool left, bool right) {
  std::u32string set;
  for (std::size_t at = 0; at < these.size();) set += utf8_next(these, at);
  return strip_where(text, left, right, [&](char32_t c) { return set.find(c) != set.npos; });
}

bool truth(const Value& value) {
  if (value.is_number()) return value.as_real() != 0;
  if (value.text() != nullptr) return !value.text()->empty();
  if (value.is_row(RowKind::generator)) return true;
  if (value.list() != nullptr) return !value.list()->empty();
  if (value.dict() != nullptr) return !value.dict()->items.empty();
  return !value.is_undefined() && !value.is_none();
}

bool equal(const Value& a, const Value& b, Limits& limits) {
  limits.step();
  if (a.is_integer() && b.is_integer()) return a.as_integer() == b.as_integer();
  if (a.is_number() && b.is_number()) return a.as_real() == b.as_real();
  if (a.is_text() && b.is_text()) return *a.text() == *b.text();
  if (a.list() != nullptr && b.list() != nullptr) {
    if (a.is_row(RowKind::generator)) return a.list() == b.list();
    return (a.row_kind() == b.row_kind() || (a.is_tuple() && b.is_tuple())) &&
           equal_lists(*a.list(), *b.list(), limits);
  }
  if (a.dict() != nullptr && b.dict() != nullptr) return equal_dicts(*a.dict(), *b.dict(), limits);
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined()) ||
         (a.space() != nullptr && a.space() == b.space());
}

bool less(const Value& a, const Value& b, Limits& limits) {
  limits.step();
  if (a.is_integer() && b.is_integer()) return a.as_integer() < b.as_integer();
  if (a.is_number() && b.is_number()) return a.as_real() < b.as_real();
  // Code points and UTF-8 sort alike.
  if (a.is_text() && b.is_text()) return *a.text() < *b.text();
  if (a.list() != nullptr && b.list() != nullptr && a.is_plain_row() &&
      a.row_kind() == b.row_kind()) {
    const List &x = *a.list(), &y = *b.list();
    for (std::size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!equal(x[i], y[i], limits)) return less(x[i], y[i], limits);
    }
    return x.size() < y.size();
  }
  throw Failure(cat("a ", a.type_name(), " and a ", b.type_name(), " have no order"));
}

bool is_hashable(const Value& value) {
  if (value.dict() != nullptr || value.is_row(RowKind::list)) return false;
  return !value.is_tuple() || std::all_of(value.list()->begin(), value.list()->end(), is_hashable);
}

void require_hashable(const Value& value) {
  if (!is_hashable(value)) throw Failure(cat("a ", value.type_name(), " cannot be a key"));
}

const Value* find_key(const Dict& dict, const Value& key, Limits& limits) {
  if (key.is_text()) return dict.find(*key.text());
  require_hashable(key);
  for (const auto& [name, value] : dict.items) {
    if (equal(name, key, limits)) return &value;
  }
  return nullptr;
}

void set_key(Dict& dict, const Value& key, Value value, Limits& limits) {
  limits.step(1 + dict.items.size() / 16);
  if (key.is_text()) return dict.set(*key.text(), std::move(value));
  const Value* old = find_key(dict, key, limits);
  if (old == nullptr) {
    dict.items.emplace_back(key, std::move(value));
    return;
  }
  for (auto& [name, there] : dict.items) {
    if (&there != old) continue;
    there = std::move(value);
    return;
  }
}

bool contains(const Value& container, const Value& item, Limits& limits) {
  if (const std::string* text = container.text()) {
    if (!item.is_text()) {
      throw Failure(cat("'in' of a str needs a str on its left, not a ", item.type_name()));
    }
    limits.step(1 + text->size() / 64);
    return text->find(*item.text()) != text->npos;
  }
  if (const Dict* dict = container.dict()) {
    limits.step(1 + dict->items.size() / 16);
    return find_key(*dict, item, limits) != nullptr;
  }
  if (container.is_undefined()) return false;
  if (container.list() == nullptr) {
    throw Failure(cat("'in' needs a str, list or dict, not a ", container.type_name()));
  }
  if (container.progress() != nullptr) {
    while (const std::optional<Value> value = next_of(container)) {
      if (equal(*value, item, limits)) return true;
    }
    return false;
  }
  for (const Value& value : *container.list()) {
    if (equal(value, item, limits)) return true;
  }
  return false;
}

std::optional<Value> next_of(const Value& generator) {
  Progress& progress = *generator.progress();
  if (progress.used < generator.list()->size()) return (*generator.list())[progress.used++];
  if (progress.failure.empty()) return std::nullopt;
  throw Failure(std::exchange(progress.failure, {}));
}

List iterate(const Value& value, Limits& limits) {
  List out;
  if (value.progress() != nullptr) {
    limits.step(value.list()->size());
    while (std::optional<Value> next = next_of(value)) out.push_back(std::move(*next));
    return out;
  }
  if (const List* list = value.list()) {
    limits.step(list->size());
    return *list;
  }
  if (const Dict* dict = value.dict()) {
    limits.step(dict->items.size());
    for (const auto& [key, unused] : dict->items) out.emplace_back(key);
    return out;
  }
  if (const std::string* text = value.text()) {
    limits.step(text->size());
    for (std::size_t at = 0; at < text->size();) {
      const std::size_t begin = at;
      utf8_next(*text, at);
      out.emplace_back(text->substr(begin, at - begin));
    }
    return out;
  }
  if (value.is_undefined()) return out;
  throw Failure(cat("a ", value.type_name(), " cannot be iterated"));
}

std::size_t length(const Value& value) {
  if (const std::string* text = value.text()) {
    std::size_t count = 0;
    for (const char byte : *text) count += is_utf8_continuation(byte) ? 0 : 1;
    return count;
  }
  if (value.list() != nullptr && !value.is_row(RowKind::generator)) return value.list()->size();
  if (value.dict() != nullptr) return value.dict()->items.size();
  if (value.is_undefined()) return 0;
  throw Failure(cat("a ", value.type_name(), " has no length"));
}

}  // namespace graft::core::jinja
