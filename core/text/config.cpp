#include "core/text/config.hpp"

namespace graft::core {

std::string type_of(const Json& config, std::string_view part, std::string_view who) {
  if (config.is_object()) {
    const auto found = config.find("type");
    if (found != config.end() && found->is_string()) return found->get<std::string>();
  }
  throw Error(GRAFT_E_INVALID,
              cat(who, ": the ", part, " must be null or an object with a string \"type\", but is ",
                  config.is_object() ? "an object without one" : config.type_name(), "."));
}

const Json& member(const Json& config, const char* key, Json::value_t type, std::string_view who) {
  if (config.is_object()) {
    const auto found = config.find(key);
    if (found != config.end() && found->type() == type) return *found;
  }
  throw Error(GRAFT_E_INVALID, cat(who, ": \"", key, "\" is missing or is not of the type ",
                                   Json(type).type_name(), "."));
}

bool flag(const Json& config, const char* key, bool fallback, std::string_view who) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return fallback;
  if (found->is_boolean()) return found->get<bool>();
  throw Error(GRAFT_E_INVALID,
              cat(who, ": \"", key, "\" must be true or false, but is ", found->type_name(), "."));
}

std::string text_member(const Json& config, const char* key, std::string_view who) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return {};
  if (found->is_string()) return found->get<std::string>();
  throw Error(GRAFT_E_INVALID,
              cat(who, ": \"", key, "\" must be a string, but is ", found->type_name(), "."));
}

void refuse_kind(std::string_view part, std::string_view type, std::string_view supported,
                 std::string_view who) {
  throw Error(GRAFT_E_INVALID, cat(who, ": the ", part, " '", type,
                                   "' is not supported; supported are ", supported, "."));
}

}  // namespace graft::core
