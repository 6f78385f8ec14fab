#include "core/text/template/filters.hpp"

#include <algorithm>
#include <cstdlib>

#include "core/text/template/builtins.hpp"
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
  if (these.is_none()) return strip(text, true, true);
  return strip(text, str(these, a.limits), true, true);
}

Value string(const Value& in, Arguments& a) {
  a.done();
  return str(in, a.limits);
}

Value items(const Value& in, Arguments& a) {
  a.done();
  List out;
  if (in.is_undefined()) return Value::row({}, RowKind::generator);
  if (in.dict() == nullptr) throw Failure(cat("'items' needs a dict, not a ", in.type_name()));
  for (const auto& [key, value] : in.dict()->items) out.push_back(Value::tuple({key, value}));
  return Value::row(std::move(out), RowKind::generator);
}

Value list(const Value& in, Arguments& a) {
  a.done();
  return Value::list(iterate(in, a.limits));
}

}  // namespace

Value attribute_path(Value value, const Value& path) {
  if (path.is_integer()) return subscript(value, path);
  if (!path.is_text()) throw Failure("an attribute must be a str or an int");
  const std::string& text = *path.text();
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t dot = std::min(text.find('.', at), text.size());
    const std::string name = text.substr(at, dot - at);
    const bool number =
        !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == name.npos;
    value = subscript(value, number ? Value::integer(std::stoul(name)) : Value(name));
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
    const std::string text = str(path.is_none() ? item : attribute_path(item, path), a.limits);
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
  Value path;
  if (by_attribute) path = a.require("attribute");
  const List rest = a.rest();
  a.done();
  Test test = nullptr;
  if (!rest.empty()) {
    if (!rest[0].is_text()) throw Failure("the name of a test must be a str");
    test = find_test(*rest[0].text());
    if (test == nullptr) throw Failure(cat("the test '", *rest[0].text(), "' is not supported"));
  }
  List out;
  for (const Value& item : iterate(in, a.limits)) {
    const Value value = by_attribute ? attribute_path(item, path) : item;
    Arguments arguments(List(rest.begin() + (rest.empty() ? 0 : 1), rest.end()), {}, a.limits);
    if ((test != nullptr ? test(value, arguments) : truth(value)) == keep) out.push_back(item);
  }
  return Value::row(std::move(out), RowKind::generator);
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
  const List all = iterate(in, a.limits);
  return all.empty() ? Value(Undefined{"the first item of nothing"}) : all.front();
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
  if (!in.is_text()) return Value::row(std::move(all), RowKind::generator);
  std::string out;
  for (const Value& c : all) out += *c.text();
  return out;
}

Value integer(const Value& in, Arguments& a) {
  const Value other = a.take("default", std::int64_t{0});
  a.done();
  if (in.is_integer()) return in.as_integer();
  if (in.is_real()) {
    const double value = in.as_real();
    return value > -9.2e18 && value < 9.2e18 ? Value(static_cast<std::int64_t>(value)) : other;
  }
  if (!in.is_text()) return other;
  const std::string text(strip(*in.text(), true, true));
  char* end = nullptr;
  errno = 0;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  const bool good = !text.empty() && *end == '\0' && errno == 0;
  return good ? Value(static_cast<std::int64_t>(value)) : other;
}

/// Text with every line but the first moved right.
Value indent(const Value& in, Arguments& a) {
  const Value width = a.take("width", std::int64_t{4});
  const bool first_too = truth(a.take("first", false));
  const bool blank_too = truth(a.take("blank", false));
  a.done();
  std::string step;
  if (width.is_text()) {
    step = *width.text();
  } else if (width.is_integer() && width.as_integer() <= 64) {
    step.assign(static_cast<std::size_t>(std::max<std::int64_t>(width.as_integer(), 0)), ' ');
  } else {
    throw Failure("the width of an indent must be a str or an int of at most 64");
  }
  if (!in.is_text()) throw Failure(cat("indent needs a str, not a ", in.type_name()));
  const std::string& text = *in.text();
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  a.limits.text(text.size() + lines * step.size());
  std::string out;
  for (std::size_t at = 0, line = 0; at <= text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const bool blank = end == at;
    if (line > 0) out += '\n';
    if ((line > 0 || first_too) && (!blank || blank_too || line == 0)) out += step;
    out.append(text, at, end - at);
    at = end + 1;
  }
  return out;
}

/// safe: there is no other kind of text here.
Value same(const Value& in, Arguments& a) {
  a.done();
  return str(in, a.limits);
}

/// A filter that is a method of str.
template <Value (*method)(const std::string&, Arguments&)>
Value of_text(const Value& in, Arguments& a) {
  return method(str(in, a.limits), a);
}

struct Entry {
  std::string_view name;
  Filter filter;
};

constexpr Entry filters[] = {
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
    {"replace", of_text<text_replace>},
    {"reverse", reverse},
    {"safe", same},
    {"select", select},
    {"selectattr", selectattr},
    {"string", string},
    {"tojson", tojson},
    {"trim", trim},
    {"upper", of_text<text_upper>},
};

}  // namespace

Filter find_filter(std::string_view name) {
  const auto found = std::find_if(std::begin(filters), std::end(filters),
                                  [&](const Entry& entry) { return entry.name == name; });
  if (found != std::end(filters)) return found->filter;
  const Filter of_lists = find_list_filter(name);
  return of_lists != nullptr ? of_lists : find_text_filter(name);
}

}  // namespace graft::core::jinja
