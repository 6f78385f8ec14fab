// Global functions, methods, and access to members.
#include <algorithm>
#include <ctime>

#include "core/text/template/builtins.hpp"
#include "core/text/template/python.hpp"
#include "core/text/template/text_methods.hpp"

namespace graft::core::jinja {
namespace {

constexpr std::string_view globals[] = {"cycler",          "dict",  "joiner",      "namespace",
                                        "raise_exception", "range", "strftime_now"};
constexpr std::string_view dict_methods[] = {"copy", "fromkeys", "get", "items", "keys", "values"};
constexpr std::string_view list_methods[] = {"copy", "count", "index"};
/// Methods that change what they are of: in the environment of chat templates they are not defined.
constexpr std::string_view dict_changes[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::string_view list_changes[] = {"append", "clear",  "extend",  "insert",
                                             "pop",    "remove", "reverse", "sort"};
/// What Python has and templates have no use for: refused, where undefined would differ in silence.
constexpr std::string_view number_members[] = {
    "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator",
    "from_bytes",       "fromhex",   "hex",        "imag",      "is_integer",
    "numerator",        "real",      "to_bytes"};
constexpr std::string_view macro_members[] = {"arguments", "caller", "catch_kwargs",
                                              "catch_varargs", "explicit_caller"};
constexpr std::string_view markup_methods[] = {
    "capitalize",   "lower",        "lstrip", "rstrip", "strip",
    "removeprefix", "removesuffix", "title",  "upper",  "zfill"};
constexpr std::string_view refused_of_markup[] = {"center",    "format",  "join",      "ljust",
                                                  "partition", "replace", "rjust",     "rpartition",
                                                  "rsplit",    "split",   "splitlines"};

template <std::size_t size>
bool is_in(const std::string_view (&names)[size], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

Value range(Arguments& a) {
  const std::int64_t first = a.integer("start", 0);
  std::int64_t start = 0, stop = first;
  if (!a.empty()) {
    start = first;
    stop = a.integer("stop", 0);
  }
  const std::int64_t step = a.integer("step", 1);
  a.done();
  if (step == 0) throw Failure("the step of a range must not be 0");
  List out;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<std::int64_t>(out.size()) == longest_range) {
      throw Failure(cat("a range of more than ", longest_range, " numbers"));
    }
    a.limits.step();
    out.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::range(std::move(out), {start, stop, step});
}

/// A dict from pairs or another dict, and from named arguments.
Dict make_dict(Arguments& a) {
  Dict out;
  const List given = a.rest();
  if (given.size() > 1) throw Failure("too many arguments");
  for (const Value& from : given) {
    if (from.dict() != nullptr) {
      out = *from.dict();
      continue;
    }
    for (const Value& item : iterate(from, a.limits)) {
      const List pair = iterate(item, a.limits);
      if (pair.size() != 2) throw Failure(cat(pair.size(), " values for a key and its value"));
      set_key(out, pair[0], pair[1], a.limits);
    }
  }
  for (auto& [name, value] : a.rest_named()) out.set(name, std::move(value));
  return out;
}

std::string time_text(const std::string& format) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::string out(format.size() * 8 + 256, '\0');
  // A format that writes nothing and one that writes too much look alike; a mark tells them apart.
  const std::size_t size = std::strftime(out.data(), out.size(), (format + "|").c_str(), &local);
  if (size == 0) throw Failure("the time's format writes too much");
  out.resize(size - 1);
  return out;
}

Value call_global(const std::string& name, Arguments& a) {
  if (name == "range") return range(a);
  if (name == "dict") return make_dict(a);
  if (name == "namespace") {
    Dict values = make_dict(a);
    for (const auto& [key, value] : values.items) {
      if (key.is_text() && key.text()->starts_with('_'))
        throw Failure("names in a namespace must not begin with '_'");
    }
    return Space{a.limits.keep(std::move(values))};
  }
  if (name == "raise_exception") {
    const Value message = a.take("message", "");
    a.done();
    throw Error(GRAFT_E_INVALID, str(message, a.limits));
  }
  if (name == "joiner") {
    const Value separator = a.take("sep", ", ");
    a.done();
    return Counter{a.limits.keep(List{separator}), a.limits.keep(std::size_t{0}), true};
  }
  if (name == "cycler") {
    List items = a.rest();
    a.done();
    if (items.empty()) throw Failure("a cycler needs at least one item");
    return Counter{a.limits.keep(std::move(items)), a.limits.keep(std::size_t{0}), false};
  }
  const std::string format = a.text("format");
  a.done();
  return time_text(format);
}

Value call_list(const Value& self, const std::string& name, Arguments& a) {
  const List& items = *self.list();
  a.limits.step(items.size() + 1);
  if (name == "count" || name == "index") {
    const Value wanted = a.require("value");
    a.done();
    std::int64_t count = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (!equal(items[i], wanted, a.limits)) continue;
      if (name == "index") return Value::integer(i);
      ++count;
    }
    if (name == "index") throw Failure("the value is not in the list");
    return count;
  }
  if (name == "copy" && !self.is_tuple()) {
    a.done();
    return self;
  }
  throw Failure(
      cat("the method '", name, "' of a ", self.type_name(), " is not allowed in a template"));
}

/// loop.cycle(..) and loop.changed(..).
Value call_loop(const Loop& loop, const std::string& name, Arguments& a) {
  const List given = a.rest();
  a.done();
  if (name == "cycle") {
    if (given.empty()) throw Failure("no items for cycling given");
    return given[loop.index % given.size()];
  }
  const Value now = Value::tuple(given);
  if (!loop.last_changed->is_undefined() && equal(*loop.last_changed, now, a.limits)) return false;
  *loop.last_changed = now;
  return true;
}

Value call_dict(const Dict& dict, const std::string& name, Arguments& a) {
  a.limits.step(dict.items.size() + 1);
  if (name == "get") {
    const Value key = a.take("key", {});
    Value other = a.take("default", {});
    a.done();
    const Value* found = find_key(dict, key, a.limits);
    return found != nullptr ? *found : other;
  }
  if (name == "copy") {
    a.done();
    return dict;
  }
  if (name == "items" || name == "keys" || name == "values") {
    a.done();
    List out;
    for (const auto& [key, value] : dict.items) {
      out.push_back(name == "items" ? Value::tuple({key, value}) : name == "keys" ? key : value);
    }
    return Value::row(std::move(out), name == "items"  ? RowKind::dict_items
                                      : name == "keys" ? RowKind::dict_keys
                                                       : RowKind::dict_values);
  }
  throw Failure(cat("the method '", name, "' of a dict is not supported"));
}

Value loop_member(const Loop& loop, std::string_view name) {
  const List& items = *loop.items->list();
  const std::size_t size = items.size();
  if (name == "index") return Value::integer(loop.index + 1);
  if (name == "index0") return Value::integer(loop.index);
  if (name == "first") return loop.index == 0;
  if (name == "last") return loop.index + 1 == size;
  if (name == "length") return Value::integer(size);
  if (name == "revindex") return Value::integer(size - loop.index);
  if (name == "revindex0") return Value::integer(size - loop.index - 1);
  if (name == "depth") return loop.depth;
  if (name == "depth0") return loop.depth - 1;
  if (name == "previtem") {
    return loop.index > 0 ? items[loop.index - 1] : Undefined{"there is no previous item"};
  }
  if (name == "nextitem") {
    return loop.index + 1 < size ? items[loop.index + 1] : Undefined{"there is no next item"};
  }
  if (name == "cycle" || name == "changed") {
    return Function{std::string(name), std::make_shared<const Value>(loop)};
  }
  throw Failure(cat("'loop.", name, "' is not supported"));
}

bool has_method(const Value& value, std::string_view name) {
  return (value.is_text() && is_text_method(name)) ||
         (value.dict() != nullptr && is_in(dict_methods, name)) ||
         (value.is_row(RowKind::list) && is_in(list_methods, name)) ||
         ((value.is_tuple() || value.is_row(RowKind::range)) &&
          (name == "count" || name == "index"));
}

bool changes_value(const Value& value, std::string_view name) {
  return (value.dict() != nullptr && is_in(dict_changes, name)) ||
         (value.is_row(RowKind::list) && is_in(list_changes, name));
}

void refuse_members(const Value& value, std::string_view name) {
  const Function* function = value.function();
  const bool macro = function != nullptr && function->body != nullptr;
  if ((value.is_number() && is_in(number_members, name)) || (macro && is_in(macro_members, name))) {
    throw Failure(cat("the member '", name, "' of a ", value.type_name(), " is not supported"));
  }
}

Value method(const Value& value, std::string_view name) {
  return Function{std::string(name), std::make_shared<const Value>(value)};
}

void require_defined(const Value& value, std::string_view what) {
  if (const Undefined* undefined = value.undefined()) {
    throw Failure(cat("'", undefined->name, "' is undefined, so it has no ", what));
  }
}

}  // namespace

bool is_global_function(std::string_view name) {
  return is_in(globals, name);
}

Value call(const Function& function, Arguments& a) {
  if (!function.self) return call_global(function.name, a);
  const Value& self = *function.self;
  if (self.dict() != nullptr) return call_dict(*self.dict(), function.name, a);
  if (self.list() != nullptr) return call_list(self, function.name, a);
  if (self.loop() != nullptr) return call_loop(*self.loop(), function.name, a);
  if (const Counter* counter = self.counter()) {
    a.done();
    if (function.name == "reset") *counter->calls = 0;
    return function.name == "next" ? count(*counter, a) : Value();
  }
  if (self.is_text()) {
    const bool refused = self.is_markup() && is_in(refused_of_markup, function.name);
    const TextMethod found = refused ? nullptr : find_text_method(function.name);
    if (refused)
      throw Failure(cat("the method '", function.name, "' of escaped text is not supported"));
    if (found != nullptr && is_in(markup_methods, function.name))
      return like(self, found(*self.text(), a));
    if (found != nullptr) return found(*self.text(), a);
  }
  throw Failure(
      cat("the method '", function.name, "' of a ", self.type_name(), " is not supported"));
}

Value count(const Counter& counter, Arguments& a) {
  a.done();
  const std::size_t calls = (*counter.calls)++;
  if (counter.joins) return calls == 0 ? Value("") : (*counter.items)[0];
  return (*counter.items)[calls % counter.items->size()];
}

Value attribute(const Value& value, std::string_view name) {
  require_defined(value, cat("member '", name, "'"));
  if (value.loop() != nullptr) return loop_member(*value.loop(), name);
  if (value.space() != nullptr) {
    const Value* found = value.space()->find(name);
    return found != nullptr ? *found : Undefined{std::string(name)};
  }
  if (const Counter* counter = value.counter(); counter != nullptr && !counter->joins) {
    if (name == "next" || name == "reset") return method(value, name);
    if (name == "current") return (*counter->items)[*counter->calls % counter->items->size()];
  }
  if (const Function* function = value.function()) {
    if (function->body != nullptr && name == "name") return function->name;
  }
  if (value.is_row(RowKind::group) && (name == "grouper" || name == "list")) {
    return (*value.list())[name == "grouper" ? 0 : 1];
  }
  if (const Bounds* bounds = value.bounds()) {
    if (name == "start") return bounds->start;
    if (name == "stop") return bounds->stop;
    if (name == "step") return bounds->step;
  }
  if (has_method(value, name)) return method(value, name);
  if (changes_value(value, name)) {
    return Undefined{cat("the method ", name, ", as it changes a ", value.type_name(), ",")};
  }
  refuse_members(value, name);
  if (value.dict() != nullptr) {
    if (const Value* found = value.dict()->find(name)) return *found;
  }
  return Undefined{std::string(name)};
}

Value subscript(const Value& value, const Value& index, Limits& limits) {
  require_defined(value, "members");
  if (index.is_integer() && (value.is_text() || value.is_indexed_row())) {
    return item_at(value, index);
  }
  if (value.dict() != nullptr && !index.is_text() && is_hashable(index)) {
    if (const Value* found = find_key(*value.dict(), index, limits)) return *found;
  }
  if (!index.is_text()) {
    return Undefined{cat("a ", value.type_name(), " member by ", index.type_name())};
  }
  if (value.dict() != nullptr) {
    if (const Value* found = value.dict()->find(*index.text())) return *found;
  }
  // What is no key may be a member.
  return value.dict() == nullptr || has_method(value, *index.text())
             ? attribute(value, *index.text())
             : Undefined{*index.text()};
}

}  // namespace graft::core::jinja
