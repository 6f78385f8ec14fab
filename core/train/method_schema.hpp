// The schema of a method's entry, also where the method leaves its work to another one.
#pragma once
#include <string>

#include "core/base/json.hpp"
#include "core/plugin/registry.hpp"

namespace graft::core {

struct MethodSchema {
  graft_method_api api{};    ///< of the method that does the work
  Json schema;               ///< of all options of the entry
  Json own;                  ///< "properties" of the entry's own method, where it leaves the work
  std::string quantization;  ///< the option that says how the base is quantized, or ""
  Json optimizer;            ///< the run's where the user names none, or null
};

/// `entry`: as the user wrote it; an option that names the other method is looked up there. Throws
/// GRAFT_E_NOT_FOUND for what is not installed.
MethodSchema method_schema(Registry& registry, const std::string& type, const Json& entry);

}  // namespace graft::core
