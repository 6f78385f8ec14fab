// What of a method's entry depends on the family of the model and is not given.
#pragma once
#include <string>

#include "core/adapt/attach.hpp"

namespace graft::core {

/// Fills in targets where there are none, from "x-graft-targets" of the method's schema, and options that
/// are null, from their "x-graft-default": both may be an object by model_type, "" being any other.
/// Of lists of modules that are no targets only those remain that are.
void settle_targets(MethodEntry& entry, const std::string& model_type);

}  // namespace graft::core
