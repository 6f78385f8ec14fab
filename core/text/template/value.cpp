#include "core/text/template/value.hpp"

#include <algorithm>
#include <limits>

#include "core/text/template/limits.hpp"

namespace graft::core::jinja {

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : items) {
    if (name.text() != nullptr && *name.text() == key) return &value;
  }
  return nullptr;
}

void Dict::set(std::string_view key, Value value) {
  for (auto& [name, old] : items) {
    if (name.text() != nullptr && *name.text() == key) {
      old = std::move(value);
      return;
    }
  }
  items.emplace_back(key, std::move(value));
}

namespace {

int limited(int nesting) {
  if (nesting > deepest_nesting) throw Failure(cat("a value nested deeper than ", deepest_nesting));
  return nesting;
}

Value convert(const Json& json, int depth) {
  limited(depth);
  switch (json.type()) {
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
      return json.get<std::int64_t>();
    case Json::value_t::number_unsigned:
      if (json.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) {
        throw Failure(cat("the integer ", json.get<std::uint64_t>(), " is too large"));
      }
      return json.get<std::int64_t>();
    case Json::value_t::number_float:
      return json.get<double>();
    case Json::value_t::string:
      return json.get_ref<const std::string&>();
    case Json::value_t::array: {
      List items;
      for (const Json& item : json) items.push_back(convert(item, depth + 1));
      return Value::list(std::move(items));
    }
    case Json::value_t::object: {
      Dict dict;
      for (const auto& [key, value] : json.items()) {
        dict.items.emplace_back(key, convert(value, depth + 1));
      }
      return dict;
    }
    default:
      return {};
  }
}

}  // namespace

int Value::nesting() const {
  if (const auto* row = std::get_if<Row>(&data_)) return row->nesting;
  if (dict() != nullptr) return dict()->nesting;
  if (loop() != nullptr) return 1 + loop()->items->nesting();
  if (function() != nullptr && function()->self) return 1 + function()->self->nesting();
  return 0;
}

Value::Value(Loop v) : data_(std::make_shared<const Loop>(std::move(v))) {
  limited(nesting());
}

Value::Value(Function v) : data_(std::make_shared<const Function>(std::move(v))) {
  limited(nesting());
}

Value::Value(Dict v) {
  int most = 0;
  for (const auto& [key, value] : v.items) {
    most = std::max({most, key.nesting(), value.nesting()});
  }
  v.nesting = limited(most + 1);
  data_ = std::make_shared<const Dict>(std::move(v));
}

Value Value::row(List items, RowKind kind) {
  int most = 0;
  for (const Value& item : items) most = std::max(most, item.nesting());
  Value out;
  out.data_ = Row{std::make_shared<const List>(std::move(items)), kind, limited(most + 1),
                  kind == RowKind::generator ? std::make_shared<Progress>() : nullptr, nullptr};
  return out;
}

Value Value::range(List items, Bounds bounds) {
  Value out = row(std::move(items), RowKind::range);
  std::get<Row>(out.data_).bounds = std::make_shared<const Bounds>(bounds);
  return out;
}

Value Value::from(const Json& json) {
  return convert(json, 0);
}

std::int64_t Value::as_integer() const {
  if (const auto* b = std::get_if<bool>(&data_)) return *b ? 1 : 0;
  return std::get<std::int64_t>(data_);
}

double Value::as_real() const {
  if (const auto* d = std::get_if<double>(&data_)) return *d;
  return static_cast<double>(as_integer());
}

std::string Value::type_name() const {
  if (is_undefined()) return "undefined";
  if (is_none()) return "NoneType";
  if (is_boolean()) return "bool";
  if (is_integer()) return "int";
  if (is_real()) return "float";
  if (is_text()) return "str";
  if (const auto* row = std::get_if<Row>(&data_)) {
    constexpr const char* names[] = {"list",      "tuple",       "tuple",      "generator",
                                     "dict_keys", "dict_values", "dict_items", "range"};
    return names[static_cast<int>(row->kind)];
  }
  if (dict() != nullptr) return "dict";
  if (space() != nullptr) return "namespace";
  if (loop() != nullptr) return "loop";
  return "function";
}

}  // namespace graft::core::jinja
