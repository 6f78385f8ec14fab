// Filters, tests, functions and methods of the template language.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text/template/limits.hpp"
#include "core/text/template/value.hpp"

namespace graft::core::jinja {

/// The arguments of one call. Each builtin takes what it knows and then calls done().
class Arguments {
 public:
  Arguments(List positional, std::vector<std::pair<std::string, Value>> named, Limits& use)
      : limits(use), positional_(std::move(positional)), named_(std::move(named)) {}
  /// The next argument, by place or by name; `otherwise` where it is absent.
  Value take(std::string_view name, Value otherwise);
  Value require(std::string_view name);
  std::string text(std::string_view name);
  std::string text(std::string_view name, std::string_view otherwise);
  std::int64_t integer(std::string_view name, std::int64_t otherwise);
  /// The positional ones that are left.
  List rest();
  /// The named ones that are left.
  std::vector<std::pair<std::string, Value>> rest_named() { return std::move(named_); }
  bool has_positional() const { return next_ < positional_.size(); }
  bool empty() const { return next_ >= positional_.size() && named_.empty(); }
  /// Fails on arguments that nobody took.
  void done() const;

  Limits& limits;

 private:
  List positional_;
  std::vector<std::pair<std::string, Value>> named_;
  std::size_t next_ = 0;
};

using Filter = Value (*)(const Value& in, Arguments& arguments);
using Test = bool (*)(const Value& in, Arguments& arguments);

/// Null where the name is unknown.
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
bool is_global_function(std::string_view name);

/// Calls a global function or a method.
Value call(const Function& function, Arguments& arguments);
/// Calls a joiner or a cycler.
Value count(const Counter& counter, Arguments& arguments);
/// What `value.name` finds besides keys: a method, or undefined.
Value attribute(const Value& value, std::string_view name);
/// `value[index]`.
Value subscript(const Value& value, const Value& index, Limits& limits);

/// json.dumps.
std::string to_json_text(const Value& value, const Value& indent, bool ensure_ascii, bool sort_keys,
                         std::string_view comma, std::string_view colon, Limits& limits);

/// str.upper() and str.lower().
std::string upper(std::string_view text);
std::string lower(std::string_view text);

}  // namespace graft::core::jinja
