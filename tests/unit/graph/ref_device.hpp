// The reference backend, for tests of recordings.
#pragma once
#include <memory>
#include <vector>

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
  static std::vector<std::unique_ptr<HostConfig>> configs;
  configs.push_back(std::make_unique<HostConfig>(Json{{"type", name}, {"threads", threads}}));
  return Device::open(registry.backend(name), &host, configs.back().get());
}

inline Device& ref_device() {
  static Device device = open_device("ref");
  return device;
}

}  // namespace graft::core
