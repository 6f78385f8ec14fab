// Base64, as tokenizer.json holds bytes.
#pragma once
#include <string>
#include <string_view>

namespace graft::core {

/// Throws GRAFT_E_INVALID on what is not base64. `who` names the source.
std::string base64_bytes(std::string_view text, std::string_view who);

}  // namespace graft::core
