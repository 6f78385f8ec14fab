// How one option stands under its key in a file: what PEFT's files and those of the adapters library
// share.
#pragma once
#include <string>
#include <string_view>

#include "core/base/json.hpp"

namespace graft::core {

struct Field {
  std::string key;
  Json missing, values;
  bool is_float = false;  ///< whole numbers are written with a point
  bool no_empty = false;  ///< what is empty is written as null
};

/// The text of a storage's "fields": a key, or {"key", "missing", "values", "float", "null"}.
Field field_of(const Json& text);

/// The option's value as the file has it, and the other way round. Both throw GRAFT_E_INVALID for a
/// value without a counterpart.
Json theirs(const Field& field, const Json& ours);
Json ours(const Field& field, const Json& value, std::string_view who);

/// Null, false or empty: a key with such a value changes nothing.
bool is_empty(const Json& value);

}  // namespace graft::core
