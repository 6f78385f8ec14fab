// What the handles of graft.h hold.
#pragma once
#include <graft/graft.h>

#include <memory>
#include <mutex>

#include "core/base/log.hpp"
#include "core/plugin/registry.hpp"

namespace graft::core {

/// The state that an engine shares with what was opened with it.
struct EngineState {
  /// Where log records go: the function of graft_engine_set_log.
  struct Target {
    std::mutex mutex;
    graft_log_fn function = nullptr;
    void* user = nullptr;
    std::int32_t min_level = 0;
  };
  std::shared_ptr<Target> target;
  Log log;
  Registry registry;

  static std::shared_ptr<EngineState> create(const char* config_json);

  EngineState(std::shared_ptr<Target> t, Log l, RegistryOptions options)
      : target(std::move(t)), log(std::move(l)), registry(std::move(options)) {}
};

}  // namespace graft::core

struct graft_engine {
  std::shared_ptr<graft::core::EngineState> state;
};
