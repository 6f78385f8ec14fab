// What the host hands to a plugin: its options, and the log.
#pragma once
#include <graft/plugin.h>

#include <map>
#include <mutex>
#include <string>

#include "core/base/json.hpp"
#include "core/base/log.hpp"

namespace graft::core {

/// graft_config over a JSON value that is checked and has its defaults. Any thread.
class HostConfig : public graft_config {
 public:
  explicit HostConfig(Json value);
  HostConfig(const HostConfig&) = delete;
  HostConfig& operator=(const HostConfig&) = delete;

  const Json& value() const { return value_; }
  /// The value at a JSON Pointer, or null.
  const Json* find(const char* path) const;
  /// Text of a subtree, kept as long as this.
  const char* text(const char* path) const;

 private:
  Json value_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::string> texts_;  // nodes stay where they are
};

/// graft_host over a Log. What a plugin logs has the source "plugin <source>". Any thread.
class HostTable : public graft_host {
 public:
  explicit HostTable(Log sink);
  HostTable(const HostTable&) = delete;
  HostTable& operator=(const HostTable&) = delete;

  void write(std::int32_t level, const char* source, const char* message) const;

 private:
  Log log_;
};

}  // namespace graft::core
