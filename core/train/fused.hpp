// Methods that fuse trained adapters, each in a folder of its own.
#pragma once
#include <string>
#include <vector>

#include "core/adapt/attach.hpp"
#include "core/base/file.hpp"
#include "core/plugin/registry.hpp"

namespace graft::core {

/// The option of a method that lists folders of adapters to fuse ("x-graft-adapters"), or "".
std::string fused_option(const graft_method_api& api);

/// Tells each fusing entry of the adapters that it fuses. `folders`: where entries were loaded from,
/// empty for others. A loaded fusion takes those before it that have the names in its configuration, or
/// else the folders that it was trained with. Which entries remain: what is fused takes no part by itself.
std::vector<bool> fuse(std::vector<MethodEntry>& entries, const std::vector<fs::path>& folders,
                       Registry& registry);

}  // namespace graft::core
