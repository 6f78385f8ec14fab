// The plugin around the table: a device that is host memory, a stream that is the calling thread.
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "kernels.hpp"

struct graft_device {};
struct graft_stream {};

namespace graft::ref {
namespace {

const char kSchema[] = R"({
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "type": {"const": "ref"},
    "threads": {"type": "integer", "minimum": 0, "maximum": 1024, "default": 0,
                "description": "accepted as for other backends; ref computes on one thread"}
  }
})";

int32_t probe() {
  return 1;
}

graft_status open(const graft_host*, const graft_config*, graft_device** out, graft_error* error) {
  *out = new (std::nothrow) graft_device;
  return *out ? GRAFT_OK : fail(error, GRAFT_E_NO_MEMORY, "ref: no memory for a device");
}

void close(graft_device* device) {
  delete device;
}

graft_status device_info(graft_device*, graft_device_info* info, graft_error*) {
  graft_device_info own = {};
  own.struct_size = info->struct_size;
  own.device_type = 1;
  std::strcpy(own.name, "reference, one thread");
  own.memory_total = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                     static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  own.caps = GRAFT_CAP_BF16 | GRAFT_CAP_F64 | GRAFT_CAP_HOST_MEMORY;
  own.auto_dtype = GRAFT_F32;
  own.threads = 1;
  std::memcpy(info, &own, info->struct_size < sizeof own ? info->struct_size : sizeof own);
  return GRAFT_OK;
}

const graft_kernel* kernels(graft_device*, uint32_t* n) {
  const KernelTable table = kernel_table();
  *n = table.count;
  return table.kernels;
}

constexpr std::uintptr_t kAlignment = 256;

// calloc takes large blocks from the system untouched; the block's address lies before the result.
graft_status alloc(graft_device*, uint64_t bytes, void** out, graft_error* error) {
  constexpr std::uint64_t extra = kAlignment + sizeof(void*);
  void* block = bytes < UINT64_MAX - extra ? std::calloc(1, bytes + extra) : nullptr;
  if (!block)
    return fail(error, GRAFT_E_NO_MEMORY, "ref: cannot allocate %llu bytes",
                static_cast<unsigned long long>(bytes));
  const auto first = reinterpret_cast<std::uintptr_t>(block) + sizeof(void*);
  const std::uintptr_t aligned = (first + kAlignment - 1) / kAlignment * kAlignment;
  *out = reinterpret_cast<void*>(aligned);
  static_cast<void**>(*out)[-1] = block;
  return GRAFT_OK;
}

void free(graft_device*, void* memory) {
  if (memory) std::free(static_cast<void**>(memory)[-1]);
}

graft_status stream_create(graft_device*, graft_stream** out, graft_error* error) {
  *out = new (std::nothrow) graft_stream;
  return *out ? GRAFT_OK : fail(error, GRAFT_E_NO_MEMORY, "ref: no memory for a stream");
}

void stream_destroy(graft_stream* stream) {
  delete stream;
}

graft_status stream_wait(graft_stream*, graft_error*) {
  return GRAFT_OK;
}

graft_status copy_bytes(graft_stream*, void* to, const void* from, uint64_t bytes, int32_t,
                        graft_error*) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return GRAFT_OK;
}

const graft_backend_api kBackend = {
    sizeof(graft_backend_api),
    0,
    "ref",
    kSchema,
    probe,
    open,
    close,
    device_info,
    kernels,
    alloc,
    free,
    stream_create,
    stream_destroy,
    stream_wait,
    copy_bytes,
};

const void* get_interface(const char* id) {
  return std::strcmp(id, GRAFT_IFACE_BACKEND) == 0 ? &kBackend : nullptr;
}

const graft_plugin kPlugin = {
    sizeof(graft_plugin),
    GRAFT_ABI_MAJOR,
    GRAFT_ABI_MINOR,
    "org.graft.backend.ref",
    "0.1.0",
    "graft",
    "Apache-2.0",
    get_interface,
};

}  // namespace
}  // namespace graft::ref

extern "C" GRAFT_PLUGIN_EXPORT const graft_plugin* graft_plugin_entry_v0(void) {
  return &graft::ref::kPlugin;
}
