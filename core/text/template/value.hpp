// Values of the template language: Python's, as far as chat templates see them.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/json.hpp"

namespace graft::core::jinja {

class Value;
using List = std::vector<Value>;

/// Keys in the order of insertion; keys are strings.
struct Dict {
  std::vector<std::pair<std::string, Value>> items;
  int nesting = 1;  // set when it becomes a value
  const Value* find(std::string_view key) const;
  void set(std::string_view key, Value value);
};

/// The `loop` of a for statement.
struct Loop {
  std::shared_ptr<const Value> items;  // a list
  std::size_t index = 0;
  std::int64_t depth = 1;
};

/// A global function, or a method with the object it was taken from.
struct Function {
  std::string name;
  std::shared_ptr<const Value> self;  // null: a global function
};

struct Undefined {
  std::string name;  // what was looked for
};
struct None {};
/// A list, or a tuple: they print differently and are never equal.
struct Sequence {
  std::shared_ptr<const List> items;
  bool tuple = false;
  int nesting = 1;
};
/// namespace(): the one thing that a template can change. It may hold itself, so the run owns it.
struct Space {
  Dict* values = nullptr;
};

class Value {
 public:
  Value() : data_(None{}) {}
  Value(bool v) : data_(v) {}
  Value(std::int64_t v) : data_(v) {}
  Value(double v) : data_(v) {}
  Value(std::string v) : data_(std::make_shared<const std::string>(std::move(v))) {}
  Value(std::string_view v) : Value(std::string(v)) {}
  Value(const char* v) : Value(std::string(v)) {}
  Value(Undefined v) : data_(std::move(v)) {}
  Value(Space v) : data_(v) {}
  // What holds other values fails when they are nested too deep: freeing them is a recursion.
  Value(Loop v);
  Value(Function v);
  Value(Dict v);
  static Value list(List items) { return sequence(std::move(items), false); }
  static Value tuple(List items) { return sequence(std::move(items), true); }
  static Value integer(std::size_t v) { return static_cast<std::int64_t>(v); }
  /// JSON's objects and arrays become dicts and lists.
  static Value from(const Json& json);

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_boolean() const { return std::holds_alternative<bool>(data_); }
  bool is_text() const { return text() != nullptr; }
  /// Integers and booleans, which count as 0 and 1.
  bool is_integer() const { return is_boolean() || std::holds_alternative<std::int64_t>(data_); }
  bool is_real() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_integer() || is_real(); }

  /// Null where the value is of another kind.
  const std::string* text() const { return at<std::string>(); }
  const List* list() const {
    const auto* s = std::get_if<Sequence>(&data_);
    return s != nullptr ? s->items.get() : nullptr;
  }
  bool is_tuple() const {
    const auto* s = std::get_if<Sequence>(&data_);
    return s != nullptr && s->tuple;
  }
  const Dict* dict() const { return at<Dict>(); }
  const Loop* loop() const { return at<Loop>(); }
  const Function* function() const { return at<Function>(); }
  Dict* space() const {
    const auto* s = std::get_if<Space>(&data_);
    return s != nullptr ? s->values : nullptr;
  }
  const Undefined* undefined() const { return std::get_if<Undefined>(&data_); }
  std::int64_t as_integer() const;  // of an integer or boolean
  double as_real() const;           // of a number

  /// Python's name of the type: "str", "NoneType", ...
  std::string type_name() const;

 private:
  static Value sequence(List items, bool tuple);
  int nesting() const;
  template <class T>
  const T* at() const {
    const auto* p = std::get_if<std::shared_ptr<const T>>(&data_);
    return p != nullptr ? p->get() : nullptr;
  }

  std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const std::string>,
               Sequence, std::shared_ptr<const Dict>, Space, std::shared_ptr<const Loop>,
               std::shared_ptr<const Function>>
      data_;
};

}  // namespace graft::core::jinja
