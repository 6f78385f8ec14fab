// A method's options as they hold at one site.
#pragma once
#include <string>

#include "core/adapt/attach.hpp"

namespace graft::core {

/// The entry's options with what its schema marks "x-graft-overrides" (patterns that replace another
/// option) and "x-graft-modules" (a rule that becomes true or false) applied to the site `name`.
Json options_at(const MethodEntry& entry, const std::string& name, const std::string& who);

/// Throws GRAFT_E_INVALID where a list marked "x-graft-modules" names what the list of targets does
/// not.
void check_module_rules(const MethodEntry& entry, const std::string& who);

}  // namespace graft::core
