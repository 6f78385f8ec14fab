// A device: the threads and the kernels of one instruction set.
#ifndef GRAFT_CPU_DEVICE_HPP
#define GRAFT_CPU_DEVICE_HPP
#include <graft/plugin.h>

#include <memory>

#include "plugins/backends/cpu/kernels.hpp"

namespace graft_cpu {
class Products;
struct QuantKernels;
}  // namespace graft_cpu

struct graft_device {
  int threads;
  const graft_cpu::IsaKernels* isa;
  const graft_cpu::QuantKernels* quant;
  bool native_bf16;
  std::shared_ptr<graft_cpu::Products> products;
};
struct graft_stream {
  graft_device* device;
};

namespace graft_cpu {

/// What the processor and GRAFT_CPU_ISA (baseline, avx2 or avx512) allow.
enum class Isa { kBaseline, kAvx2, kAvx512 };
Isa usable_isa();

/// The processor multiplies bf16 itself (AVX-512 bf16, AMX).
bool multiplies_bf16(Isa isa);

/// Cores that this process may use.
int usable_cores();

}  // namespace graft_cpu
#endif
