// Reading the parts of a tokenizer.json.
#pragma once
#include <string>
#include <string_view>

#include "core/base/json.hpp"

namespace graft::core {

/// The "type" of a part of the pipeline; `part` ("normalizer") names it in errors.
std::string type_of(const Json& config, std::string_view part, std::string_view who);
/// A member that must be there and of this type.
const Json& member(const Json& config, const char* key, Json::value_t type, std::string_view who);
/// A boolean member; `fallback` where it is absent or null.
bool flag(const Json& config, const char* key, bool fallback, std::string_view who);
/// A string member; empty where it is absent or null.
std::string text_member(const Json& config, const char* key, std::string_view who);
/// "the pre-tokenizer 'X' is not supported; supported are ..".
[[noreturn]] void refuse_kind(std::string_view part, std::string_view type,
                              std::string_view supported, std::string_view who);

}  // namespace graft::core
