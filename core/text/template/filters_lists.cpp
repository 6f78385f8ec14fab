// Filters of lists: order, groups, sums.
#include <algorithm>

#include "core/text/template/filters.hpp"
#include "core/text/template/named.hpp"
#include "core/text/template/python.hpp"

namespace graft::core::jinja {
namespace {

Value small(const Value& value, bool case_sensitive) {
  return value.is_text() && !case_sensitive ? Value(lower(*value.text())) : value;
}

/// What an item is compared by: itself, or an attribute.
Value key_of(const Value& item, const Value& path, bool case_sensitive, Limits& limits) {
  return small(path.is_none() ? item : attribute_path(item, path, limits), case_sensitive);
}

/// The same in a list, with commas between attributes: equal keys have an order whatever they are.
Value keys_of(const Value& item, const Value& path, bool case_sensitive, Limits& limits) {
  if (!path.is_text()) return Value::list({key_of(item, path, case_sensitive, limits)});
  List keys;
  const std::string& names = *path.text();
  for (std::size_t at = 0; at <= names.size();) {
    const std::size_t comma = std::min(names.find(',', at), names.size());
    keys.push_back(
        small(attribute_path(item, names.substr(at, comma - at), limits), case_sensitive));
    at = comma + 1;
  }
  return Value::list(std::move(keys));
}

struct Keyed {
  Value key, item;
};

std::vector<Keyed> keyed(const List& items, const Value& path, bool case_sensitive,
                         Limits& limits) {
  std::vector<Keyed> out;
  for (const Value& item : items) out.push_back({key_of(item, path, case_sensitive, limits), item});
  return out;
}

/// As sorted(): equal items keep their order, also in reverse.
void sort_by_key(std::vector<Keyed>& items, bool reverse, Limits& limits) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(b.key, a.key, limits) : less(a.key, b.key, limits);
  });
}

Value sort(const Value& in, Arguments& a) {
  const bool reverse = truth(a.take("reverse", false));
  const bool case_sensitive = truth(a.take("case_sensitive", false));
  const Value path = a.take("attribute", {});
  a.done();
  std::vector<Keyed> items;
  for (const Value& item : iterate(in, a.limits)) {
    items.push_back({keys_of(item, path, case_sensitive, a.limits), item});
  }
  sort_by_key(items, reverse, a.limits);
  List out;
  for (Keyed& item : items) out.push_back(std::move(item.item));
  return Value::list(std::move(out));
}

Value dictsort(const Value& in, Arguments& a) {
  const bool case_sensitive = truth(a.take("case_sensitive", false));
  const std::string by = a.text("by", "key");
  const bool reverse = truth(a.take("reverse", false));
  a.done();
  if (by != "key" && by != "value") throw Failure("dictsort sorts by 'key' or 'value'");
  if (in.dict() == nullptr) throw Failure(cat("dictsort needs a dict, not a ", in.type_name()));
  std::vector<Keyed> items;
  for (const auto& [key, value] : in.dict()->items) {
    items.push_back({small(by == "key" ? key : value, case_sensitive), Value::tuple({key, value})});
  }
  sort_by_key(items, reverse, a.limits);
  List out;
  for (Keyed& item : items) out.push_back(std::move(item.item));
  return Value::list(std::move(out));
}

Value unique(const Value& in, Arguments& a) {
  const bool case_sensitive = truth(a.take("case_sensitive", false));
  const Value path = a.take("attribute", {});
  a.done();
  return Value::generator([&](List& out) {
    List seen;
    for (const Keyed& item : keyed(iterate(in, a.limits), path, case_sensitive, a.limits)) {
      require_hashable(item.key);
      const bool known = std::any_of(seen.begin(), seen.end(),
                                     [&](const Value& v) { return equal(v, item.key, a.limits); });
      if (known) continue;
      seen.push_back(item.key);
      out.push_back(item.item);
    }
  });
}

Value groupby(const Value& in, Arguments& a) {
  const Value path = a.require("attribute");
  const Value otherwise = a.take("default", {});
  const bool case_sensitive = truth(a.take("case_sensitive", false));
  a.done();
  std::vector<Keyed> items;
  for (const Value& item : iterate(in, a.limits)) {
    Value key = attribute_path(item, path, a.limits);
    if (key.is_undefined() && !otherwise.is_none()) key = otherwise;
    items.push_back({small(key, case_sensitive), item});
  }
  sort_by_key(items, false, a.limits);
  List out;
  for (std::size_t i = 0, end = 0; i < items.size(); i = end) {
    List group;
    for (; end < items.size() && equal(items[end].key, items[i].key, a.limits); ++end) {
      group.push_back(items[end].item);
    }
    // Groups are told by the key as the first of them has it.
    Value name = attribute_path(items[i].item, path, a.limits);
    if (name.is_undefined() && !otherwise.is_none()) name = otherwise;
    out.push_back(Value::row({name, Value::list(std::move(group))}, RowKind::group));
  }
  return Value::list(std::move(out));
}

Value extreme(const Value& in, Arguments& a, bool largest) {
  const bool case_sensitive = truth(a.take("case_sensitive", false));
  const Value path = a.take("attribute", {});
  a.done();
  const std::vector<Keyed> items = keyed(iterate(in, a.limits), path, case_sensitive, a.limits);
  if (items.empty()) return Undefined{"no aggregated item, the sequence was empty"};
  const Keyed* best = &items[0];
  for (const Keyed& item : items) {
    const bool better =
        largest ? less(best->key, item.key, a.limits) : less(item.key, best->key, a.limits);
    if (better) best = &item;
  }
  return best->item;
}

Value largest(const Value& in, Arguments& a) {
  return extreme(in, a, true);
}
Value smallest(const Value& in, Arguments& a) {
  return extreme(in, a, false);
}

Value sum(const Value& in, Arguments& a) {
  const Value path = a.take("attribute", {});
  Value out = a.take("start", std::int64_t{0});
  a.done();
  for (const Value& item : iterate(in, a.limits)) {
    out = arithmetic("+", out, path.is_none() ? item : attribute_path(item, path, a.limits),
                     a.limits);
  }
  return out;
}

/// Lists of `linecount` items, the last one filled up.
Value batch(const Value& in, Arguments& a) {
  const std::int64_t count = a.integer("linecount", 1);
  const Value fill = a.take("fill_with", {});
  a.done();
  if (count < 1 || count > longest_range) throw Failure("a batch needs a size from 1 on");
  const auto size = static_cast<std::size_t>(count);
  return Value::generator([&](List& out) {
    List part;
    for (const Value& item : iterate(in, a.limits)) {
      if (part.size() == size) out.push_back(Value::list(std::exchange(part, {})));
      part.push_back(item);
    }
    if (part.empty()) return;
    a.limits.step(size);
    while (!fill.is_none() && part.size() < size) part.push_back(fill);
    out.push_back(Value::list(std::move(part)));
  });
}

/// So many lists, the first ones of them one longer where it does not come out even.
Value slices(const Value& in, Arguments& a) {
  const std::int64_t count = a.integer("slices", 1);
  const Value fill = a.take("fill_with", {});
  a.done();
  if (count < 1 || count > longest_range) throw Failure("slice needs a number from 1 on");
  return Value::generator([&](List& out) {
    const List all = iterate(in, a.limits);
    const auto parts = static_cast<std::size_t>(count);
    const std::size_t each = all.size() / parts, longer = all.size() % parts;
    a.limits.step(parts);
    for (std::size_t part = 0, at = 0; part < parts; ++part) {
      const std::size_t size = each + (part < longer ? 1 : 0);
      List some(all.begin() + static_cast<std::ptrdiff_t>(at),
                all.begin() + static_cast<std::ptrdiff_t>(at + size));
      if (!fill.is_none() && part >= longer) some.push_back(fill);
      out.push_back(Value::list(std::move(some)));
      at += size;
    }
  });
}

/// map(attribute=..) or map('filter', arguments..).
Value map(const Value& in, Arguments& a) {
  const bool by_name = a.has_positional();
  return Value::generator([&](List& out) {
    // None, 0 and the like are as good as an empty list.
    if (!truth(in)) return;
    if (by_name) {
      const std::string name = a.text("filter");
      const List rest = a.rest();
      const auto named = a.rest_named();
      const Filter filter = find_filter(name);
      if (filter == nullptr) throw Failure(cat("no filter named '", name, "'"));
      for (const Value& item : iterate(in, a.limits)) {
        Arguments arguments(rest, named, a.limits);
        out.push_back(filter(item, arguments));
      }
      return;
    }
    const Value path = a.require("attribute");
    const Value otherwise = a.take("default", Undefined{"default"});
    a.done();
    for (const Value& item : iterate(in, a.limits)) {
      Value value = attribute_path(item, path, a.limits);
      out.push_back(value.is_undefined() && !otherwise.is_undefined() ? otherwise : value);
    }
  });
}

Value attr(const Value& in, Arguments& a) {
  const std::string name = a.text("name");
  a.done();
  // Members that are no keys: the methods.
  return in.dict() != nullptr && in.dict()->find(name) != nullptr &&
                 attribute(in, name).function() == nullptr
             ? Value(Undefined{name})
             : attribute(in, name);
}

constexpr Named<Filter> filters[] = {
    {"attr", attr}, {"batch", batch}, {"dictsort", dictsort}, {"groupby", groupby},
    {"map", map},   {"max", largest}, {"min", smallest},      {"slice", slices},
    {"sort", sort}, {"sum", sum},     {"unique", unique},
};

}  // namespace

Filter find_list_filter(std::string_view name) {
  return find_named(filters, name);
}

}  // namespace graft::core::jinja
