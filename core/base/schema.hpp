// JSON values against JSON Schemas (a subset of draft 2020-12), with errors that teach.
#pragma once
#include <string_view>

#include "core/base/json.hpp"

namespace graft::core {

/// Checks `value` and returns it with every default of the schema filled in, at every depth. A
/// whole number written as 3.0 comes back as 3 where the schema asks for an integer.
///
/// Throws GRAFT_E_INVALID with all problems found (at most eight), one a line: the JSON Pointer,
/// what is there, what would be right, and the nearest known key for an unknown one. `who` names
/// the source ("run.json", "plugin lora"); it may end in the pointer of `value` itself
/// ("run.json: /methods/0"), which those of the problems then go on from.
///
/// Keywords: type, properties, required, additionalProperties, items, minItems, maxItems,
/// enum, const, minimum, maximum, exclusiveMinimum, exclusiveMaximum, minLength, oneOf, anyOf,
/// default, description. Other annotations and names that begin with "x-" mean nothing here; any
/// other keyword of JSON Schema is refused (GRAFT_E_INVALID), as it would not be checked.
Json validate(const Json& value, const Json& schema, std::string_view who);

}  // namespace graft::core
