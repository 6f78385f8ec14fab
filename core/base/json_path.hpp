// Places inside a JSON value: as a command line names them, and as JSON Pointers name them.
#pragma once
#include <string>
#include <string_view>

#include "core/base/json.hpp"

namespace graft::core {

/// Sets what a dotted path names: set_path(run, "methods.0.rank", "8"). Numbers index arrays, one
/// past the end appends; objects that are missing on the way are made. `text` is taken as JSON if
/// it parses as JSON, else as a string. Throws GRAFT_E_INVALID that names "--path".
void set_path(Json& root, std::string_view path, std::string_view text);

/// The JSON Pointer (RFC 6901) one key or index deeper.
std::string pointer_to(std::string_view parent, std::string_view key);

}  // namespace graft::core
