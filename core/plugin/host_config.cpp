#include "core/plugin/host_config.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace graft::core {
namespace {

const HostConfig& self(const graft_config* config) {
  return *static_cast<const HostConfig*>(config);
}

std::int64_t whole(double value) {
  if (std::isnan(value)) return 0;
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  if (value >= kLimit) return std::numeric_limits<std::int64_t>::max();
  if (value < -kLimit) return std::numeric_limits<std::int64_t>::min();
  return static_cast<std::int64_t>(value);
}

std::int64_t get_i64(const graft_config* config, const char* path) noexcept {
  const Json* found = self(config).find(path);
  if (!found) return 0;
  if (found->is_boolean()) return found->get<bool>() ? 1 : 0;
  if (found->is_number_unsigned()) {
    const auto limit = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    return static_cast<std::int64_t>(std::min(found->get<std::uint64_t>(), limit));
  }
  if (found->is_number_integer()) return found->get<std::int64_t>();
  return found->is_number_float() ? whole(found->get<double>()) : 0;
}

double get_f64(const graft_config* config, const char* path) noexcept {
  const Json* found = self(config).find(path);
  if (!found) return 0;
  if (found->is_boolean()) return found->get<bool>() ? 1 : 0;
  return found->is_number() ? found->get<double>() : 0;
}

const char* get_str(const graft_config* config, const char* path) noexcept {
  const Json* found = self(config).find(path);
  return found && found->is_string() ? found->get_ref<const std::string&>().c_str() : "";
}

std::uint32_t count(const graft_config* config, const char* path) noexcept {
  const Json* found = self(config).find(path);
  return found && found->is_structured() ? static_cast<std::uint32_t>(found->size()) : 0;
}

const char* json(const graft_config* config, const char* path) noexcept {
  return self(config).text(path);
}

const graft_config_api kConfigApi = {
    sizeof(graft_config_api), 0, get_i64, get_f64, get_str, count, json};

void write_log(const graft_host* host, std::int32_t level, const char* source,
               const char* message) noexcept {
  static_cast<const HostTable*>(host)->write(level, source, message);
}

}  // namespace

HostConfig::HostConfig(Json value) : graft_config{&kConfigApi}, value_(std::move(value)) {}

const Json* HostConfig::find(const char* path) const {
  if (!path) return nullptr;
  try {
    const Json::json_pointer pointer{std::string(path)};
    return value_.contains(pointer) ? &value_.at(pointer) : nullptr;
  } catch (const std::exception&) {
    return nullptr;  // no JSON Pointer
  }
}

const char* HostConfig::text(const char* path) const {
  const Json* found = find(path);
  if (!found) return "";
  const std::lock_guard lock(mutex_);
  auto [it, fresh] = texts_.try_emplace(path);
  if (fresh) it->second = to_text(*found);
  return it->second.c_str();
}

HostTable::HostTable(Log sink)
    : graft_host{sizeof(graft_host), GRAFT_ABI_MAJOR, GRAFT_ABI_MINOR, write_log},
      log_(std::move(sink)) {}

void HostTable::write(std::int32_t level, const char* source, const char* message) const {
  const int known = std::clamp<int>(level, GRAFT_LOG_DEBUG, GRAFT_LOG_ERROR);
  try {
    log_.write(static_cast<Level>(known), cat("plugin ", source ? source : "?"),
               message ? message : "");
  } catch (...) {
    // A message is lost; the plugin that logged it must not see an exception.
  }
}

}  // namespace graft::core
