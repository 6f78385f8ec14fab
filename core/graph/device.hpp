// A backend's device: its memory, its one stream, its kernels by name.
#pragma once
#include <graft/plugin.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace graft::core {

/// An open device. Copies share it; it closes with the last copy. One thread at a time.
class Device {
 public:
  /// `api`, `host` and `config` must outlive the device. Refuses a backend that lacks a required
  /// kernel, naming what is missing.
  static Device open(const graft_backend_api& api, const graft_host* host,
                     const graft_config* config);

  const std::string& name() const;
  const graft_device_info& info() const;
  bool has(std::uint64_t cap) const { return (info().caps & cap) != 0; }
  /// nullptr if the backend has no such kernel.
  const graft_kernel* kernel(std::string_view name) const;
  graft_device* handle() const;
  graft_stream* stream() const;

  /// Zeroed device memory, freed with the last copy of the pointer. GRAFT_E_NO_MEMORY on failure.
  std::shared_ptr<void> allocate(std::uint64_t bytes) const;
  void copy_in(void* device, const void* host, std::uint64_t bytes) const;
  void copy_out(void* host, const void* device, std::uint64_t bytes) const;  ///< waits
  void wait() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

/// Throws if `status` is an error; `what` begins the message when the plugin gave none.
void check(graft_status status, const graft_error& error, std::string_view what);

}  // namespace graft::core
