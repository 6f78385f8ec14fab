#include "core/adapt/storage_fields.hpp"

#include <algorithm>

#include "core/base/error.hpp"

namespace graft::core {

Field field_of(const Json& text) {
  if (text.is_string()) return {text.get<std::string>(), nullptr, nullptr, false, false};
  return {text.at("key").get<std::string>(), text.value("missing", Json(nullptr)),
          text.value("values", Json(nullptr)), text.value("float", false),
          text.value("null", false)};
}

Json theirs(const Field& field, const Json& ours) {
  if (field.is_float && ours.is_number_integer()) return ours.get<double>();
  if (field.no_empty && is_empty(ours)) return nullptr;
  if (field.values.is_null()) return ours;
  const auto found = field.values.find(ours.is_string() ? ours.get<std::string>() : ours.dump());
  if (found == field.values.end()) {
    throw Error(GRAFT_E_INVALID,
                cat("the value ", ours.dump(), " has no counterpart for '", field.key, "'."));
  }
  return found->at(0);
}

Json ours(const Field& field, const Json& value, std::string_view who) {
  if (field.values.is_null()) return value;
  for (auto it = field.values.begin(); it != field.values.end(); ++it) {
    if (std::find(it.value().begin(), it.value().end(), value) != it.value().end()) {
      const bool boolean = it.key() == "true" || it.key() == "false";
      return boolean ? Json(it.key() == "true") : Json(it.key());
    }
  }
  throw Error(GRAFT_E_INVALID,
              cat(who, ": \"", field.key, "\": ", value.dump(), " is not supported."));
}

bool is_empty(const Json& v) {
  return v.is_null() || (v.is_boolean() && !v.get<bool>()) || (v.is_structured() && v.empty());
}

}  // namespace graft::core
