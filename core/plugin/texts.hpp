// The JSON texts of plugins' tables: schemas, storage formats.
#pragma once
#include <string_view>

#include "core/base/json.hpp"

namespace graft::core {

/// `text`, parsed; the same text is parsed once in a process, as a schema is asked for at every site of
/// every adapter. Any thread; what is returned stays. Throws what parse_json() throws.
const Json& plugin_json(const char* text, std::string_view who);

}  // namespace graft::core
