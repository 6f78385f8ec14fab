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
#include "core/text/template/limits.hpp"

namespace graft::core::jinja {

class Value;
using List = std::vector<Value>;

/// Keys in the order of insertion; most are strings. Those that are not are looked for by find_key() and set_key() of
/// python.hpp, as Python says which of them are equal.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  int nesting = 1;  // set when it becomes a value
  const Value* find(std::string_view key) const;
  void set(std::string_view key, Value value);
};

/// The `loop` of a for statement.
struct Loop {
  std::shared_ptr<const Value> items;  // a list
  std::size_t index = 0;
  std::int64_t depth = 1;
  std::shared_ptr<const Value> again = {};  // of a recursive one: the function that it is
  Value* last_changed = nullptr;            // what loop.changed() saw; the run owns it
};

struct Stmt;

/// A global function, a method with the object it was taken from, or a piece of the template.
struct Function {
  std::string name;
  std::shared_ptr<const Value> self;  // null: a global function
  const Stmt* body = nullptr;         // a macro, the body of a call block, or a recursive loop
  std::size_t scopes = 0;             // how many of the scopes its body sees
  std::shared_ptr<const Value> caller = {};  // what the body sees as caller
};

/// joiner() and cycler(): functions that remember. The run owns what they remember.
struct Counter {
  const List* items = nullptr;  // of a cycler; a joiner has one
  std::size_t* calls = nullptr;
  bool joins = false;
};
struct Undefined {
  std::string name;  // what was looked for
};
struct None {};
/// What holds values in a row. Python tells the kinds apart: only lists and tuples are written as
/// JSON, a generator has no length, and most are not indexed. A group is a tuple whose parts have
/// names: what groupby makes.
enum class RowKind { list, tuple, group, generator, dict_keys, dict_values, dict_items, range };
/// How far a generator has been used, and what it fails with where it ends.
struct Progress {
  std::size_t used = 0;
  std::string failure;
};
/// What a range was made of.
struct Bounds {
  std::int64_t start = 0, stop = 0, step = 1;
};
struct Row {
  std::shared_ptr<const List> items;
  RowKind kind = RowKind::list;
  int nesting = 1;
  std::shared_ptr<Progress> progress = {};    // of a generator
  std::shared_ptr<const Bounds> bounds = {};  // of a range
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
  Value(Counter v) : data_(v) {}
  // What holds other values fails when they are nested too deep: freeing them is a recursion.
  Value(Loop v);
  Value(Function v);
  Value(Dict v);
  static Value list(List items) { return row(std::move(items), RowKind::list); }
  static Value tuple(List items) { return row(std::move(items), RowKind::tuple); }
  static Value row(List items, RowKind kind);
  static Value range(List items, Bounds bounds);
  /// What make(List&) puts into the list. Where it fails, so does who comes to the end of the items.
  template <class Make>
  static Value generator(const Make& make) {
    List items;
    std::string failure;
    try {
      make(items);
    } catch (const Failure& caught) {
      failure = caught.what();
    }
    Value out = row(std::move(items), RowKind::generator);
    std::get<Row>(out.data_).progress->failure = std::move(failure);
    return out;
  }
  /// Text that is not escaped again: what the filters e and safe make.
  static Value markup(std::string v) {
    Value out(std::move(v));
    out.is_markup_ = true;
    return out;
  }
  static Value integer(std::size_t v) { return static_cast<std::int64_t>(v); }
  /// JSON's objects and arrays become dicts and lists.
  static Value from(const Json& json);

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_boolean() const { return std::holds_alternative<bool>(data_); }
  bool is_text() const { return text() != nullptr; }
  bool is_markup() const { return is_markup_; }
  /// Integers and booleans, which count as 0 and 1.
  bool is_integer() const { return is_boolean() || std::holds_alternative<std::int64_t>(data_); }
  bool is_real() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_integer() || is_real(); }

  /// Null where the value is of another kind; list() is any row.
  const std::string* text() const { return at<std::string>(); }
  const List* list() const {
    const auto* r = std::get_if<Row>(&data_);
    return r != nullptr ? r->items.get() : nullptr;
  }
  bool is_row(RowKind kind) const {
    const auto* r = std::get_if<Row>(&data_);
    return r != nullptr && r->kind == kind;
  }
  bool is_tuple() const { return is_row(RowKind::tuple) || is_row(RowKind::group); }
  /// A list or a tuple.
  bool is_plain_row() const { return is_row(RowKind::list) || is_tuple(); }
  bool is_indexed_row() const { return is_plain_row() || is_row(RowKind::range); }
  RowKind row_kind() const { return std::get<Row>(data_).kind; }
  /// Null where the value is no generator.
  Progress* progress() const {
    const auto* r = std::get_if<Row>(&data_);
    return r != nullptr ? r->progress.get() : nullptr;
  }
  /// Null where the value is no range.
  const Bounds* bounds() const {
    const auto* r = std::get_if<Row>(&data_);
    return r != nullptr ? r->bounds.get() : nullptr;
  }
  const Dict* dict() const { return at<Dict>(); }
  const Loop* loop() const { return at<Loop>(); }
  const Function* function() const { return at<Function>(); }
  Dict* space() const {
    const auto* s = std::get_if<Space>(&data_);
    return s != nullptr ? s->values : nullptr;
  }
  const Counter* counter() const { return std::get_if<Counter>(&data_); }
  const Undefined* undefined() const { return std::get_if<Undefined>(&data_); }
  std::int64_t as_integer() const;  // of an integer or boolean
  double as_real() const;           // of a number

  /// Python's name of the type: "str", "NoneType", ...
  std::string type_name() const;

 private:
  int nesting() const;
  template <class T>
  const T* at() const {
    const auto* p = std::get_if<std::shared_ptr<const T>>(&data_);
    return p != nullptr ? p->get() : nullptr;
  }

  std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const std::string>, Row,
               std::shared_ptr<const Dict>, Space, std::shared_ptr<const Loop>,
               std::shared_ptr<const Function>, Counter>
      data_;
  bool is_markup_ = false;
};

}  // namespace graft::core::jinja
