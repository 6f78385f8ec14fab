// The reference backend, for tests of recordings.
#pragma once
#include "core/graph/device.hpp"
#include "core/plugin/host_config.hpp"
#include "core/plugin/registry.hpp"

namespace graft::core {

/// Opens a built backend by name. Everything that it needs lives until the process ends.
inline Device open_device(const std::string& name, std::int64_t threads = 1) {
  static Registry registry([] {
    RegistryOptions options;
    options.folders = {GRAFT_BUILT_PLUGIN_DIR};
    return options;
  }());
  static HostTable host{Log{}};
  auto* config = new HostConfig(Json{{"type", name}, {"threads", threads}});
  return Device::open(registry.backend(name), &host, config);
}

inline Device& ref_device() {
  static Device device = open_device("ref");
  return device;
}

}  // namespace graft::core
