// The table of graft train --profile.
#pragma once
#include <string>

#include "cli/lines.hpp"

namespace cli {

/// `event`: the session's event "profile".
std::string profile_text(const Json& event);

}  // namespace cli
