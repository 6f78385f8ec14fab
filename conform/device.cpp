#include "device.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace graft::conform {
namespace {

const std::string* find(const graft_config* config, const char* path) {
  const auto& values = static_cast<const Settings*>(config)->values;
  const auto it = values.find(path);
  return it == values.end() ? nullptr : &it->second;
}

std::int64_t get_i64(const graft_config* config, const char* path) {
  const std::string* text = find(config, path);
  if (!text) return 0;
  return *text == "true" ? 1 : std::strtoll(text->c_str(), nullptr, 10);
}
double get_f64(const graft_config* config, const char* path) {
  const std::string* text = find(config, path);
  return text ? std::strtod(text->c_str(), nullptr) : 0;
}
const char* get_str(const graft_config* config, const char* path) {
  const std::string* text = find(config, path);
  return text ? text->c_str() : "";
}
std::uint32_t count(const graft_config*, const char*) {
  return 0;
}

const graft_config_api kSettingsApi = {
    sizeof(graft_config_api), 0, get_i64, get_f64, get_str, count, get_str};

void log(const graft_host*, std::int32_t level, const char* source, const char* message) {
  if (level >= GRAFT_LOG_WARNING) std::fprintf(stderr, "%s: %s\n", source, message);
}

#define GRAFT_CONFORM_TEXT2(x) #x
#define GRAFT_CONFORM_TEXT(x) GRAFT_CONFORM_TEXT2(x)
constexpr const char* kEntry = "graft_plugin_entry_v" GRAFT_CONFORM_TEXT(GRAFT_ABI_MAJOR);
#undef GRAFT_CONFORM_TEXT
#undef GRAFT_CONFORM_TEXT2

const graft_plugin* load(const std::string& path) {
  char* absolute = realpath(path.c_str(), nullptr);
  if (!absolute) throw Unusable("'" + path + "': " + std::strerror(errno));
  void* library = dlopen(absolute, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  std::free(absolute);
  if (!library) throw Unusable(dlerror());
  const auto entry = reinterpret_cast<graft_plugin_entry_fn>(dlsym(library, kEntry));
  if (!entry) throw Unusable("'" + path + "' does not export " + kEntry);
  const graft_plugin* plugin = entry();
  if (!plugin) throw Unusable("'" + path + "': " + kEntry + "() returned NULL");
  if (plugin->abi_major != GRAFT_ABI_MAJOR || plugin->abi_minor != GRAFT_ABI_MINOR)
    throw Unusable("'" + path + "' is of ABI " + std::to_string(plugin->abi_major) + "." +
                   std::to_string(plugin->abi_minor) + ", this program of " +
                   std::to_string(GRAFT_ABI_MAJOR) + "." + std::to_string(GRAFT_ABI_MINOR));
  return plugin;
}

std::string text_of(graft_status status, const graft_error& error) {
  return "status " + std::to_string(status) + ", '" + error.message + "'";
}

}  // namespace

Settings::Settings() : graft_config{&kSettingsApi} {}

Device::Device(const std::string& plugin_path, const Settings& settings)
    : host_{sizeof(graft_host), GRAFT_ABI_MAJOR, GRAFT_ABI_MINOR, log}, plugin_(load(plugin_path)) {
  if (plugin_->get_interface)
    api_ = static_cast<const graft_backend_api*>(plugin_->get_interface(GRAFT_IFACE_BACKEND));
  if (!api_) throw Unusable("'" + plugin_path + "' offers no " GRAFT_IFACE_BACKEND);
  require_tables();
  if (api_->probe() == 0) throw Unusable("the backend's probe() says that it cannot run here");
  graft_error error = {};
  graft_status status = api_->open(&host_, &settings, &device_, &error);
  if (status != GRAFT_OK || !device_) throw Unusable("open(): " + text_of(status, error));
  info_.struct_size = sizeof info_;
  status = api_->device_info(device_, &info_, &error);
  if (status != GRAFT_OK) throw Unusable("device_info(): " + text_of(status, error));
  info_.name[sizeof info_.name - 1] = '\0';
  status = api_->stream_create(device_, &stream_, &error);
  if (status != GRAFT_OK || !stream_) throw Unusable("stream_create(): " + text_of(status, error));
}

Device::~Device() {
  if (stream_) api_->stream_destroy(stream_);
  if (device_) api_->close(device_);
}

void Device::require_tables() const {
  if (api_->struct_size < sizeof(graft_backend_api))
    throw Unusable("the backend's table is shorter than that of this ABI");
  if (!api_->name || !api_->config_schema || !api_->probe || !api_->open || !api_->close ||
      !api_->device_info || !api_->kernels || !api_->alloc || !api_->free || !api_->stream_create ||
      !api_->stream_destroy || !api_->stream_wait || !api_->copy)
    throw Unusable("an entry of the backend's table is NULL");
}

std::vector<std::uint32_t> Device::types() const {
  std::vector<std::uint32_t> out = {GRAFT_F32};
  if (info_.caps & GRAFT_CAP_BF16) out.push_back(GRAFT_BF16);
  if (info_.caps & GRAFT_CAP_F64) out.push_back(GRAFT_F64);
  return out;
}

const graft_kernel* Device::kernel(const std::string& name) const {
  std::uint32_t n = 0;
  const graft_kernel* table = api_->kernels(device_, &n);
  for (std::uint32_t i = 0; i < n; ++i)
    if (table[i].name && name == table[i].name) return table[i].run ? &table[i] : nullptr;
  return nullptr;
}

std::vector<std::string> Device::check_services() const {
  std::vector<std::string> wrong;
  for (const std::uint64_t bytes : {0, 1, 255, 70001, 1 << 22}) {
    const std::string what = "alloc() of " + std::to_string(bytes) + " bytes ";
    graft_error error = {};
    void* memory = nullptr;
    const graft_status status = api_->alloc(device_, bytes, &memory, &error);
    if (status != GRAFT_OK || (!memory && bytes > 0)) {
      wrong.push_back(what + "failed: " + text_of(status, error));
      continue;
    }
    if (reinterpret_cast<std::uintptr_t>(memory) % 256 != 0)
      wrong.push_back(what + "is not aligned to 256 bytes");
    std::vector<std::byte> host(bytes, std::byte{1});
    const auto copy = [&](void* to, const void* from, std::int32_t to_device) {
      if (api_->copy(stream_, to, from, bytes, to_device, &error) != GRAFT_OK ||
          api_->stream_wait(stream_, &error) != GRAFT_OK)
        wrong.push_back(what + "cannot be copied: " + error.message);
    };
    copy(host.data(), memory, 0);
    if (std::any_of(host.begin(), host.end(), [](std::byte b) { return b != std::byte{0}; }))
      wrong.push_back(what + "is not zeroed");
    std::vector<std::byte> pattern(bytes);
    for (std::size_t i = 0; i < pattern.size(); ++i) pattern[i] = static_cast<std::byte>(i * 37);
    copy(memory, pattern.data(), 1);
    copy(host.data(), memory, 0);
    if (host != pattern) wrong.push_back(what + "does not give back what was copied to it");
    api_->free(device_, memory);
  }
  return wrong;
}

Placed::Placed(const Device& device, std::byte* host, std::size_t size)
    : device_(&device), host_(host), data_(host), size_(size) {
  if (device.host_memory()) return;
  graft_error error = {};
  void* memory = nullptr;
  if (device.api().alloc(device.handle(), size, &memory, &error) != GRAFT_OK)
    throw Unusable(std::string("alloc(): ") + error.message);
  data_ = static_cast<std::byte*>(memory);
}

Placed::Placed(Placed&& other) noexcept
    : device_(other.device_),
      host_(other.host_),
      data_(std::exchange(other.data_, other.host_)),
      size_(other.size_) {}

Placed::~Placed() {
  if (data_ != host_) device_->api().free(device_->handle(), data_);
}

void Placed::copy(void* to, const void* from, std::int32_t to_device) {
  if (data_ == host_) return;
  graft_error error = {};
  if (device_->api().copy(device_->stream(), to, from, size_, to_device, &error) != GRAFT_OK ||
      device_->api().stream_wait(device_->stream(), &error) != GRAFT_OK)
    throw Unusable(std::string("copy(): ") + error.message);
}

void Placed::upload() {
  copy(data_, host_, 1);
}
void Placed::download() {
  copy(host_, data_, 0);
}

}  // namespace graft::conform
