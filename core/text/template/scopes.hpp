// Which names a template cannot see yet.
#pragma once
#include "core/text/template/ast.hpp"

namespace graft::core::jinja {

/// Fills in `unset` of the template and of all statements with a scope of their own.
///
/// In Jinja a scope that sets a name has it as its own from the beginning on: before the statement that sets
/// it the name is undefined, also where the caller gave a variable of that name. Unless the scope reads the
/// name before, or sets it in a branch only, or a scope around it knows the name: then it has that value.
void find_unset_names(Template& whole);

}  // namespace graft::core::jinja
