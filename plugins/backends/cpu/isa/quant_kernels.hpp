// The kernels that read quantized matrices; as in kernels.hpp, plain data alone.
#ifndef GRAFT_CPU_ISA_QUANT_KERNELS_HPP
#define GRAFT_CPU_ISA_QUANT_KERNELS_HPP
#include <graft/types.h>

#include "plugins/backends/cpu/kernels.hpp"

namespace graft_cpu {

/// Rows of a quantized matrix, or parts of them, into rows of `out`.
struct ExpandCall {
  int32_t threads;
  const graft_quant* blocks;
  int32_t format;      // graft::quant::Format
  const int32_t* ids;  // the rows' numbers, or NULL: from first_row on
  int64_t first_row, rows, first_column, columns;
  void* out;
  int64_t out_row;
  Type type;
};

struct QuantKernels {
  void (*expand_blocks)(const ExpandCall*);
  // c = alpha a Wt + bias for a few rows of a
  uint64_t (*dot_blocks_workspace)(const GemmCall*);
  void (*dot_blocks)(const GemmCall*, const graft_quant*, int32_t format);
};

namespace baseline {
const QuantKernels* quant_kernels();
}
namespace avx2 {
const QuantKernels* quant_kernels();
}
namespace avx512 {
const QuantKernels* quant_kernels();
}

}  // namespace graft_cpu
#endif
