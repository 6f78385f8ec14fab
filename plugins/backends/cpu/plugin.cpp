// The plugin: one device, the processor; a stream is the calling thread.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <new>

#include "plugins/backends/cpu/call.hpp"
#include "plugins/backends/cpu/products.hpp"
#include "plugins/backends/cpu/quant.hpp"

namespace graft_cpu {
namespace {

const char kSchema[] = R"({
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "type": {"const": "cpu"},
    "threads": {"type": "integer", "minimum": 0, "maximum": 1024, "default": 0,
                "description": "0: all cores this process may use"}
  }
})";

template <Body* body, std::uint32_t min_in, std::uint32_t max_in, std::uint32_t n_out>
constexpr graft_kernel entry(const char* name, Bytes* workspace = nullptr,
                             decltype(graft_kernel::supports) supports = nullptr) {
  return {name, run<body, min_in, max_in, n_out>, supports, workspace};
}

/// A kernel's workspace(); shapes that it refuses are told in run().
template <Bytes* bytes>
uint64_t guarded(graft_device* device, const graft_kernel_args* args) {
  try {
    return bytes(device, args);
  } catch (const Refusal&) {
    return 0;
  }
}

// In the order of the contract; inputs needed, inputs at most, outputs needed.
constexpr graft_kernel kKernels[] = {
    entry<copy, 1, 1, 1>("copy/1", nullptr, reads_blocks),
    entry<fill, 0, 0, 1>("fill/1"),
    entry<add, 2, 2, 1>("add/1"),
    entry<sub, 2, 2, 1>("sub/1"),
    entry<mul, 2, 2, 1>("mul/1"),
    entry<div, 2, 2, 1>("div/1"),
    entry<affine, 1, 1, 1>("affine/1"),
    entry<act, 1, 1, 1>("act/1"),
    entry<act_bwd, 2, 2, 1>("act_bwd/1"),
    entry<matmul, 2, 3, 1>("matmul/1", guarded<matmul_workspace>, reads_blocks),
    entry<reduce_sum, 1, 1, 1>("reduce_sum/1", guarded<reduce_sum_workspace>),
    entry<softmax, 1, 1, 1>("softmax/1"),
    entry<softmax_bwd, 2, 2, 1>("softmax_bwd/1"),
    entry<norm, 2, 3, 1>("norm/1"),
    entry<norm_bwd, 3, 3, 1>("norm_bwd/1"),
    entry<norm_bwd_weight, 2, 2, 1>("norm_bwd_weight/1", guarded<norm_bwd_weight_workspace>),
    entry<rope, 3, 3, 1>("rope/1"),
    entry<gather, 2, 2, 1>("gather/1", nullptr, reads_blocks),
    entry<scatter_add, 2, 2, 1>("scatter_add/1"),
    entry<write_rows, 2, 2, 1>("write_rows/1"),
    entry<cross_entropy, 2, 2, 2>("cross_entropy/1"),
    entry<cross_entropy_bwd, 4, 4, 1>("cross_entropy_bwd/1"),
    entry<dropout, 3, 3, 1>("dropout/1"),
    entry<attention, 6, 6, 2>("attention/1", guarded<attention_workspace>),
    entry<attention_bwd, 9, 9, 3>("attention_bwd/1", guarded<attention_bwd_workspace>),
    entry<skew, 1, 1, 1>("skew/1"),
    entry<unskew, 1, 1, 1>("unskew/1"),
    entry<inverse, 1, 1, 1>("inverse/1"),
    entry<orthonormal, 1, 1, 1>("orthonormal/1"),
    // optional
    entry<swiglu, 2, 2, 1>("swiglu/1"),
    entry<swiglu_bwd, 3, 3, 2>("swiglu_bwd/1"),
    entry<add_norm, 3, 3, 2>("add_norm/1"),
    entry<adam_update, 4, 4, 3>("adam_update/1"),
    entry<sum_squares, 1, 1, 1>("sum_squares/1", guarded<sum_squares_workspace>),
    entry<adam8_update, 4, 4, 5>("adam8_update/1"),
};

int32_t probe() {
  return 10;
}

graft_status open(const graft_host*, const graft_config* config, graft_device** out,
                  graft_error* error) {
  const std::int64_t asked = config ? config->api->get_i64(config, "/threads") : 0;
  if (asked < 0 || asked > 1024)
    return gb::fail(error, GRAFT_E_INVALID, "cpu: threads is %lld; 0 to 1024 are possible",
                    static_cast<long long>(asked));
  try {
    auto device = std::make_unique<graft_device>();
#ifdef _OPENMP
    device->threads = asked > 0 ? static_cast<int>(asked) : usable_cores();
#else
    device->threads = 1;
#endif
    const Isa isa = usable_isa();
    device->isa = isa == Isa::kAvx512 ? avx512::kernels()
                  : isa == Isa::kAvx2 ? avx2::kernels()
                                      : baseline::kernels();
    device->quant = isa == Isa::kAvx512 ? avx512::quant_kernels()
                    : isa == Isa::kAvx2 ? avx2::quant_kernels()
                                        : baseline::quant_kernels();
    device->native_bf16 = multiplies_bf16(isa);
    // Has an effect before oneDNN's first product in this process only.
    if (isa == Isa::kBaseline) dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41);
    if (isa == Isa::kAvx2) dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
    device->products = std::make_shared<Products>(isa, device->threads, device->native_bf16);
    *out = device.release();
    return GRAFT_OK;
  } catch (const std::exception& e) {
    return gb::fail(error, GRAFT_E_DEVICE, "cpu: cannot open the device: %s", e.what());
  }
}

void close(graft_device* device) {
  delete device;
}

graft_status device_info(graft_device* device, graft_device_info* info, graft_error*) {
  graft_device_info own = {};
  own.struct_size = info->struct_size;
  own.device_type = 1;
  std::snprintf(own.name, sizeof own.name, "%d threads, %s", device->threads, device->isa->name);
  own.memory_total = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                     static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  own.caps = GRAFT_CAP_BF16 | GRAFT_CAP_HOST_MEMORY;
  own.auto_dtype = device->native_bf16 ? GRAFT_BF16 : GRAFT_F32;
  own.threads = static_cast<std::uint32_t>(device->threads);
  std::memcpy(info, &own, info->struct_size < sizeof own ? info->struct_size : sizeof own);
  return GRAFT_OK;
}

const graft_kernel* kernels(graft_device*, uint32_t* n) {
  *n = sizeof kKernels / sizeof kKernels[0];
  return kKernels;
}

// Pages come from the system, zero and untouched; the size lies in a page of its own before them.
constexpr std::uint64_t kPage = 4096;

graft_status alloc(graft_device*, uint64_t bytes, void** out, graft_error* error) {
  void* block = bytes < UINT64_MAX - 2 * kPage
                    ? mmap(nullptr, bytes + kPage, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                    : MAP_FAILED;
  if (block == MAP_FAILED)
    return gb::fail(error, GRAFT_E_NO_MEMORY, "cpu: cannot allocate %llu bytes",
                    static_cast<unsigned long long>(bytes));
  *static_cast<std::uint64_t*>(block) = bytes + kPage;
  *out = static_cast<char*>(block) + kPage;
  return GRAFT_OK;
}

void free(graft_device*, void* memory) {
  if (!memory) return;
  void* block = static_cast<char*>(memory) - kPage;
  munmap(block, *static_cast<std::uint64_t*>(block));
}

graft_status stream_create(graft_device* device, graft_stream** out, graft_error* error) {
  *out = new (std::nothrow) graft_stream{device};
  return *out ? GRAFT_OK : gb::fail(error, GRAFT_E_NO_MEMORY, "cpu: no memory for a stream");
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
    "cpu",
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
    "org.graft.backend.cpu",
    "0.1.0",
    "graft",
    "Apache-2.0",
    get_interface,
};

}  // namespace
}  // namespace graft_cpu

extern "C" GRAFT_PLUGIN_EXPORT const graft_plugin* graft_plugin_entry_v0(void) {
  return &graft_cpu::kPlugin;
}
