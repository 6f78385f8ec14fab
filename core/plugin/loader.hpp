// One plugin file: checked, loaded, its tables copied. What is loaded stays loaded: threads and
// thread-local destructors of a plugin make unloading unsafe.
#pragma once
#include <graft/plugin.h>

#include <optional>
#include <string>

#include "core/base/file.hpp"

namespace graft::core {

struct PluginFile {
  fs::path path;  // canonical
  std::string id, version, vendor, license;
  std::string abi;  // "0.1"
  std::string sha256;
  const void* (*get_interface)(const char* interface_id) = nullptr;
};

/// Loads `file`, which lies in `folder`. Throws GRAFT_E_DENIED (see trust.hpp), GRAFT_E_VERSION for
/// another ABI, GRAFT_E_INVALID for what is no plugin or a broken one.
PluginFile load_plugin(const fs::path& folder, const fs::path& file);

/// The plugin's tables: copies, in which fields that the plugin does not know are 0. Empty where the
/// interface is not offered; GRAFT_E_INVALID where a table lacks what every plugin must have.
std::optional<graft_method_api> method_table(const PluginFile& file);
std::optional<graft_optimizer_api> optimizer_table(const PluginFile& file);
std::optional<graft_backend_api> backend_table(const PluginFile& file);

}  // namespace graft::core
