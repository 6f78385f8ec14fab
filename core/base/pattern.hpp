// Regular expressions in configuration files, as Python's `re` writes them.
#pragma once
#include <string>
#include <string_view>

namespace graft::core {

/// re.fullmatch(pattern, text) is not None. Throws GRAFT_E_INVALID on a pattern that does not parse
/// or takes too long; `who` begins the message.
bool full_match(std::string_view pattern, std::string_view text, std::string_view who);

}  // namespace graft::core
