#include "core/text/template/filters.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "core/text/template/builtins.hpp"
#include "core/text/template/named.hpp"
#include "core/text/template/python.hpp"
#include "core/text/template/text_methods.hpp"

namespace graft::core::jinja {
namespace {

Value tojson(const Value& in, Arguments& a) {
  const bool ascii = truth(a.take("ensure_ascii", false));
  const Value indent = a.take("indent", {});
  const Value separators = a.take("separators", {});
  const bool sort = truth(a.take("sort_keys", false));
  a.done();
  std::string comma = indent.is_none() ? ", " : ",", colon = ": ";
  if (!separators.is_none()) {
    const List* pair = separators.list();
    if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_text() || !(*pair)[1].is_text()) {
      throw Failure("'separators' must be two strings");
    }
    comma = *(*pair)[0].text();
    colon = *(*pair)[1].text();
  }
  return to_json_text(in, indent, ascii, sort, comma, colon, a.limits);
}

Value length_of(const Value& in, Arguments& a) {
  a.done();
  return Value::integer(length(in));
}

Value trim(const Value& in, Arguments& a) {
  const Value these = a.take("chars", {});
  a.done();
  const std::string text = str(in, a.limits);
  if (these.is_none()) return like(in, strip(text, true, true));
  return like(in, strip(text, str(these, a.limits), true, true));
}

Value string(const Value& in, Arguments& a) {
  a.done();
  return like(in, str(in, a.limits));
}

Value items(const Value& in, Arguments& a) {
  a.done();
  return Value::generator([&](List& out) {
    if (in.is_undefined()) return;
    if (in.dict() == nullptr) throw Failure(cat("'items' needs a dict, not a ", in.type_name()));
    for (const auto& [key, value] : in.dict()->items) out.push_back(Value::tuple({key, value}));
  });
}

Value list(const Value& in, Arguments& a) {
  a.done();
  return Value::list(iterate(in, a.limits));
}

}  // namespace

Value attribute_path(Value value, const Value& path, Limits& limits) {
  if (path.is_integer()) return subscript(value, path, limits);
  if (!path.is_text()) throw Failure("an attribute must be a str or an int");
  const std::string& text = *path.text();
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t dot = std::min(text.find('.', at), text.size());
    const std::string name = text.substr(at, dot - at);
    const bool number =
        !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == name.npos;
    value = subscript(value, number ? Value::integer(std::stoul(name)) : Value(name), limits);
    at = dot + 1;
  }
  return value;
}

namespace {

Value join(const Value& in, Arguments& a) {
  const std::string between = a.text("d", "");
  const Value path = a.take("attribute", {});
  a.done();
  std::string out;
  bool first = true;
  for (const Value& item : iterate(in, a.limits)) {
    const std::string text =
        str(path.is_none() ? item : attribute_path(item, path, a.limits), a.limits);
    a.limits.text(out.size() + text.size() + between.size() > longest_text
                      ? out.size() + text.size() + between.size()
                      : text.size() + between.size());
    if (!first) out += between;
    first = false;
    out += text;
  }
  return out;
}

Value otherwise(const Value& in, Arguments& a) {
  const Value other = a.take("default_value", "");
  const bool falsy = truth(a.take("boolean", false));
  a.done();
  return in.is_undefined() || (falsy && !truth(in)) ? other : in;
}

/// select and reject, with a test or plain truth, of the items or of an attribute of theirs.
Value chosen(const Value& in, Arguments& a, bool keep, bool by_attribute) {
  return Value::generator([&](List& out) {
    // None, 0 and the like are as good as an empty list.
    if (!truth(in)) return;
    Value path;
    if (by_attribute) path = a.require("attribute");
    const List rest = a.rest();
    const auto named = a.rest_named();
    Test test = nullptr;
    if (!rest.empty()) {
      if (!rest[0].is_text()) throw Failure("the name of a test must be a str");
      test = find_test(*rest[0].text());
      if (test == nullptr) throw Failure(cat("the test '", *rest[0].text(), "' is not supported"));
    }
    for (const Value& item : iterate(in, a.limits)) {
      const Value value = by_attribute ? attribute_path(item, path, a.limits) : item;
      Arguments arguments(List(rest.begin() + (rest.empty() ? 0 : 1), rest.end()), named, a.limits);
      if ((test != nullptr ? test(value, arguments) : truth(value)) == keep) out.push_back(item);
    }
  });
}

Value select(const Value& in, Arguments& a) {
  return chosen(in, a, true, false);
}
Value reject(const Value& in, Arguments& a) {
  return chosen(in, a, false, false);
}
Value selectattr(const Value& in, Arguments& a) {
  return chosen(in, a, true, true);
}
Value rejectattr(const Value& in, Arguments& a) {
  return chosen(in, a, false, true);
}

Value first(const Value& in, Arguments& a) {
  a.done();
  const Undefined none{"the first item of nothing"};
  if (in.progress() != nullptr) return next_of(in).value_or(none);
  const List all = iterate(in, a.limits);
  return all.empty() ? Value(none) : all.front();
}

Value last(const Value& in, Arguments& a) {
  a.done();
  if (in.is_row(RowKind::generator)) throw Failure("a generator has no last item");
  const List all = iterate(in, a.limits);
  return all.empty() ? Value(Undefined{"the last item of nothing"}) : all.back();
}

Value reverse(const Value& in, Arguments& a) {
  a.done();
  List all = iterate(in, a.limits);
  std::reverse(all.begin(), all.end());
  if (in.progress() != nullptr) return Value::list(std::move(all));
  if (!in.is_text()) return Value::row(std::move(all), RowKind::generator);
  std::string out;
  for (const Value& c : all) out += *c.text();
  return like(in, out);
}

/// int() of a text: digits of the base, with underscores between them.
std::optional<std::int64_t> integer_in(std::string_view given, std::int64_t base) {
  const std::string plain = with_plain_digits(strip(given, true, true));
  std::string_view text = plain;
  std::string digits(text.substr(0, text.starts_with('-') || text.starts_with('+') ? 1 : 0));
  text.remove_prefix(digits.size());
  const auto prefix = [&](char letter, std::int64_t of) {
    const bool there = text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == letter;
    if (!there || (base != of && base != 0)) return false;
    text.remove_prefix(text[2] == '_' ? 3 : 2);
    base = of;
    return true;
  };
  if (!prefix('x', 16) && !prefix('o', 8) && !prefix('b', 2) && base == 0) base = 10;
  bool was_digit = false;
  for (const char c : text) {
    if (c == '_' ? !was_digit : std::isalnum(static_cast<unsigned char>(c)) == 0)
      return std::nullopt;
    was_digit = c != '_';
    if (was_digit) digits += c;
  }
  if (!was_digit) return std::nullopt;
  char* end = nullptr;
  errno = 0;
  const long long value = std::strtoll(digits.c_str(), &end, static_cast<int>(base));
  if (*end != '\0') return std::nullopt;
  if (errno != 0) throw Failure("the integer is too large");
  return value;
}

Value integer(const Value& in, Arguments& a) {
  const Value other = a.take("default", std::int64_t{0});
  const std::int64_t base = a.integer("base", 10);
  a.done();
  if (const Undefined* u = in.undefined()) throw Failure(cat("'", u->name, "' is undefined"));
  if (base < 0 || base == 1 || base > 36) return other;
  if (in.is_integer()) return in.as_integer();
  Value number = in;
  if (in.is_text()) {
    if (const auto whole = integer_in(*in.text(), base)) return *whole;
    Arguments default_none({Value()}, {}, a.limits);
    number = find_text_filter("float")(in, default_none);
  }
  if (!number.is_real() || !std::isfinite(number.as_real())) return other;
  if (std::fabs(number.as_real()) > 9.2e18) throw Failure("the integer is too large");
  return static_cast<std::int64_t>(number.as_real());
}

/// Text with every line but the first moved right.
Value indent(const Value& in, Arguments& a) {
  const Value width = a.take("width", std::int64_t{4});
  const bool first_too = truth(a.take("first", false));
  const bool blank_too = truth(a.take("blank", false));
  a.done();
  if (!in.is_text()) throw Failure(cat("indent needs a str, not a ", in.type_name()));
  const std::string step =
      width.is_text() ? *width.text() : *arithmetic("*", Value(" "), width, a.limits).text();
  const std::string text = *in.text() + "\n";
  const std::vector<std::string_view> lines = lines_of(text, false);
  a.limits.text(text.size() + lines.size() * step.size());
  std::string out = first_too ? step : "";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i > 0 && (!lines[i].empty() || blank_too)) out += step;
    out += lines[i];
  }
  return like(in, out);
}

Value safe(const Value& in, Arguments& a) {
  a.done();
  return Value::markup(str(in, a.limits));
}

/// A filter that is a method of str.
template <Value (*method)(const std::string&, Arguments&)>
Value of_text(const Value& in, Arguments& a) {
  return like(in, method(str(in, a.limits), a));
}

/// What comes out is plain text.
Value replace(const Value& in, Arguments& a) {
  return text_replace(str(in, a.limits), a);
}

constexpr Named<Filter> filters[] = {
    {"capitalize", of_text<text_capitalize>},
    {"count", length_of},
    {"d", otherwise},
    {"default", otherwise},
    {"first", first},
    {"indent", indent},
    {"int", integer},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", length_of},
    {"list", list},
    {"lower", of_text<text_lower>},
    {"reject", reject},
    {"rejectattr", rejectattr},
    {"replace", replace},
    {"reverse", reverse},
    {"safe", safe},
    {"select", select},
    {"selectattr", selectattr},
    {"string", string},
    {"tojson", tojson},
    {"trim", trim},
    {"upper", of_text<text_upper>},
};

}  // namespace

Filter find_filter(std::string_view name) {
  if (const Filter filter = find_named(filters, name)) return filter;
  for (const auto find : {find_list_filter, find_text_filter, find_layout_filter}) {
    if (const Filter filter = find(name)) return filter;
  }
  return nullptr;
}

}  // namespace graft::core::jinja
