#include "core/graph/device.hpp"

#include <cstring>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

constexpr std::string_view kRequired[] = {"copy/1",
                                          "fill/1",
                                          "add/1",
                                          "sub/1",
                                          "mul/1",
                                          "div/1",
                                          "affine/1",
                                          "act/1",
                                          "act_bwd/1",
                                          "matmul/1",
                                          "reduce_sum/1",
                                          "softmax/1",
                                          "softmax_bwd/1",
                                          "norm/1",
                                          "norm_bwd/1",
                                          "norm_bwd_weight/1",
                                          "rope/1",
                                          "gather/1",
                                          "scatter_add/1",
                                          "write_rows/1",
                                          "dropout/1",
                                          "attention/1",
                                          "attention_bwd/1",
                                          "cross_entropy/1",
                                          "cross_entropy_bwd/1",
                                          "skew/1",
                                          "unskew/1",
                                          "inverse/1",
                                          "orthonormal/1"};

}  // namespace

struct Device::State {
  graft_backend_api api{};
  graft_device* device = nullptr;
  graft_stream* stream = nullptr;
  graft_device_info info{};
  std::string name;
  std::map<std::string_view, const graft_kernel*> kernels;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (stream) api.stream_destroy(stream);
    if (device) api.close(device);
  }
};

void check(graft_status status, const graft_error& error, std::string_view what) {
  if (status >= 0) return;
  throw Error(status, error.message[0] ? std::string(error.message)
                                       : cat(what, " failed with status ", status, "."));
}

Device Device::open(const graft_backend_api& api, const graft_host* host,
                    const graft_config* config) {
  Device result;
  result.state_ = std::make_shared<State>();
  State& s = *result.state_;
  s.api = api;
  s.name = api.name;
  graft_error error{};
  check(api.open(host, config, &s.device, &error), error, cat("backend '", s.name, "': open"));
  s.info.struct_size = sizeof s.info;
  check(api.device_info(s.device, &s.info, &error), error, "device_info");
  check(api.stream_create(s.device, &s.stream, &error), error, "stream_create");
  std::uint32_t n = 0;
  const graft_kernel* kernels = api.kernels(s.device, &n);
  for (std::uint32_t i = 0; i < n; ++i) s.kernels[kernels[i].name] = &kernels[i];
  std::string missing;
  for (const std::string_view name : kRequired) {
    if (s.kernels.count(name) == 0) missing += cat(missing.empty() ? "" : ", ", name);
  }
  if (!missing.empty()) {
    throw Error(GRAFT_E_INVALID, cat("backend '", s.name, "' lacks the required kernels: ", missing,
                                     ". graft-conform lists what it has."));
  }
  return result;
}

const std::string& Device::name() const {
  return state_->name;
}
const graft_device_info& Device::info() const {
  return state_->info;
}
graft_device* Device::handle() const {
  return state_->device;
}
graft_stream* Device::stream() const {
  return state_->stream;
}

const graft_kernel* Device::kernel(std::string_view name) const {
  const auto at = state_->kernels.find(name);
  return at == state_->kernels.end() ? nullptr : at->second;
}

std::shared_ptr<void> Device::allocate(std::uint64_t bytes) const {
  void* data = nullptr;
  graft_error error{};
  check(state_->api.alloc(state_->device, bytes ? bytes : 1, &data, &error), error,
        cat("allocating ", bytes, " bytes on '", name(), "'"));
  return {data, [state = state_](void* p) { state->api.free(state->device, p); }};
}

void Device::copy_in(void* device, const void* host, std::uint64_t bytes) const {
  if (bytes == 0) return;
  if (has(GRAFT_CAP_HOST_MEMORY)) {
    std::memcpy(device, host, bytes);
    return;
  }
  graft_error error{};
  check(state_->api.copy(state_->stream, device, host, bytes, 1, &error), error, "copy to device");
}

void Device::copy_out(void* host, const void* device, std::uint64_t bytes) const {
  wait();
  if (bytes == 0) return;
  if (has(GRAFT_CAP_HOST_MEMORY)) {
    std::memcpy(host, device, bytes);
    return;
  }
  graft_error error{};
  check(state_->api.copy(state_->stream, host, device, bytes, 0, &error), error, "copy to host");
  wait();
}

void Device::wait() const {
  graft_error error{};
  check(state_->api.stream_wait(state_->stream, &error), error, "waiting for the device");
}

}  // namespace graft::core
