#include "plugins/backends/cpu/isa/families.hpp"

#define GRAFT_TEXT_OF(x) #x
#define GRAFT_TEXT(x) GRAFT_TEXT_OF(x)

namespace graft_cpu {
namespace GRAFT_ISA {

const IsaKernels* kernels() {
  static constexpr IsaKernels table = {
      GRAFT_TEXT(GRAFT_ISA),
      convert,
      binary,
      affine,
      act,
      act_bwd,
      swiglu,
      swiglu_bwd,
      softmax,
      softmax_bwd,
      norm,
      norm_bwd,
      norm_bwd_weight,
      add_norm,
      rope,
      cross_entropy,
      cross_entropy_bwd,
      dropout,
      scatter_add,
      sum_rows,
      sum_columns,
      sum_dense,
      adam,
      adam8,
      gemm_workspace,
      gemm,
      attention_workspace,
      attention,
      attention_bwd_workspace,
      attention_bwd,
  };
  return &table;
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
