// The plugin under test: loaded, its device opened, memory on it.
#pragma once
#include <graft/plugin.h>

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensor.hpp"

namespace graft::conform {

/// A plugin that cannot be tested at all; the text says why.
struct Unusable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Configuration from the command line: "/threads" -> "2". What is not there reads as 0 or "".
struct Settings : graft_config {
  Settings();
  std::map<std::string, std::string> values;
};

class Device {
 public:
  Device(const std::string& plugin_path, const Settings& settings);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const graft_plugin& plugin() const { return *plugin_; }
  const graft_backend_api& api() const { return *api_; }
  const graft_device_info& info() const { return info_; }
  graft_device* handle() const { return device_; }
  graft_stream* stream() const { return stream_; }
  bool host_memory() const { return info_.caps & GRAFT_CAP_HOST_MEMORY; }

  /// Dtypes that T stands for here.
  std::vector<std::uint32_t> types() const;
  /// NULL where the backend has none of that name.
  const graft_kernel* kernel(const std::string& name) const;

  /// What is wrong with memory, copies or the tables; empty when all is well.
  std::vector<std::string> check_services() const;

 private:
  void require_tables() const;
  graft_host host_;
  const graft_plugin* plugin_ = nullptr;
  const graft_backend_api* api_ = nullptr;
  graft_device* device_ = nullptr;
  graft_stream* stream_ = nullptr;
  graft_device_info info_ = {};
};

/// A copy of a tensor's bytes where the device's kernels can reach them: the tensor's own memory if
/// that is host memory.
class Placed {
 public:
  Placed(const Device& device, std::byte* host, std::size_t size);
  ~Placed();
  Placed(Placed&& other) noexcept;
  Placed& operator=(Placed&&) = delete;
  std::byte* data() const { return data_; }
  void upload();
  void download();

 private:
  void copy(void* to, const void* from, std::int32_t to_device);
  const Device* device_;
  std::byte *host_, *data_;
  std::size_t size_;
};

}  // namespace graft::conform
