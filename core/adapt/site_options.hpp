// A method's options as they hold at one site.
#pragma once
#include <string>

#include "core/adapt/attach.hpp"

namespace graft::core {

/// The entry's options with what its schema marks "x-graft-overrides" (patterns that replace another
/// option) and "x-graft-modules" (a rule that becomes true or false) applied to the site `name`. A site
/// that is `targeted` has no trained tokens.
Json options_at(const MethodEntry& entry, const std::string& name, const std::string& who,
                bool targeted);

/// The value of the option marked "x-graft-biases" (PEFT's bias): "none", "all", or those of attached
/// modules.
std::string bias_choice(const MethodEntry& entry);

/// Whether an option marked "x-graft-vocabulary" (PEFT's trainable_token_indices) names tokens.
bool trains_tokens(const MethodEntry& entry);

/// Throws GRAFT_E_INVALID where a pattern marked "x-graft-overrides" matches none of the sites `names`.
void check_patterns(const MethodEntry& entry, const std::vector<std::string>& names,
                    const std::string& who);

/// Throws GRAFT_E_INVALID where a list marked "x-graft-modules" names what the list of targets does
/// not.
void check_module_rules(const MethodEntry& entry, const std::string& who);

}  // namespace graft::core
