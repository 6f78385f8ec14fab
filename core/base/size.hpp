// Sizes of memory as people write and read them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/json.hpp"

namespace graft::core {

/// Bytes of "4GiB", "1.5 GiB", "512MB", "300k", "1024". KiB, MiB, GiB, TiB and the bare letters are
/// powers of 1024; kB, MB, GB, TB powers of 1000; case does not matter. `who` names the value in
/// the error.
std::uint64_t parse_size(std::string_view text, std::string_view who);
/// A JSON string as above, or a number of bytes.
std::uint64_t json_size(const Json& value, std::string_view who);

/// "17 B", "1.22 GiB": three significant digits.
std::string size_text(std::uint64_t bytes);

}  // namespace graft::core
