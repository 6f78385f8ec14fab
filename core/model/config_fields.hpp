// Typed access to the keys of a config object; null counts as missing.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/json.hpp"

namespace graft::core {

class ConfigFields {
 public:
  ConfigFields(const Json& json, std::string_view who) : json_(json), who_(who) {
    if (!json.is_object()) throw Error(GRAFT_E_INVALID, cat(who, ": must be a JSON object."));
  }

  const Json* find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  bool has(const char* key) const { return find(key) != nullptr; }
  bool is_null(const char* key) const {
    const auto found = json_.find(key);
    return found != json_.end() && found->is_null();
  }

  std::optional<std::int64_t> integer(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (value->is_number_unsigned() &&
        value->get<std::uint64_t>() <=
            static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return static_cast<std::int64_t>(value->get<std::uint64_t>());
    }
    if (value->is_number_integer() && !value->is_number_unsigned()) {
      return value->get<std::int64_t>();
    }
    wrong(key, *value, "an integer");
  }
  std::optional<double> number(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number() || !std::isfinite(value->get<double>())) wrong(key, *value, "a number");
    return value->get<double>();
  }
  std::optional<bool> boolean(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_boolean()) wrong(key, *value, "true or false");
    return value->get<bool>();
  }
  std::optional<std::string> text(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) wrong(key, *value, "a text");
    return value->get<std::string>();
  }

  [[noreturn]] void wrong(const char* key, const Json& value, std::string_view wanted) const {
    throw Error(GRAFT_E_INVALID, cat(who_, ": \"", key, "\" is ", to_text(value).substr(0, 60),
                                     ", but must be ", wanted, "."));
  }
  const std::string& who() const { return who_; }

 private:
  const Json& json_;
  std::string who_;
};

}  // namespace graft::core
