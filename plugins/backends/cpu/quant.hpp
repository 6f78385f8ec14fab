// Quantized operands of the kernels that take them.
#ifndef GRAFT_CPU_QUANT_HPP
#define GRAFT_CPU_QUANT_HPP
#include "plugins/backends/cpu/call.hpp"
#include "plugins/backends/cpu/isa/quant_kernels.hpp"

namespace graft_cpu {

/// A quantized view, checked.
struct Quantized {
  explicit Quantized(const graft_view& view);
  ExpandCall all(const graft_device& device) const;

  const graft_quant* blocks;
  std::int32_t format;
  bool transposed;
};

/// supports() of the kernels that read quantized operands.
graft_status reads_blocks(graft_device*, const graft_kernel_args* args);

std::uint64_t quantized_matmul_workspace(const graft_device& device, const GemmCall& g,
                                         const Quantized& b);
/// g: the product without b's data.
void quantized_matmul(Call& call, GemmCall g, const Quantized& b);

/// y = what `e` expands, in any layout and dtype.
void expand_to(Call& call, ExpandCall e, const graft_view& y, bool accumulate);
/// "copy/1" of a quantized x.
void copy_quantized(Call& call);

}  // namespace graft_cpu
#endif
