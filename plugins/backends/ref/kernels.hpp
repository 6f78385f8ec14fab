// The reference kernels, one per line of the contract in graft/plugin.h.
#pragma once
#include "common.hpp"

namespace graft::ref {

Body copy, fill, add, sub, mul, div, affine, act, act_bwd;                  // elementwise.cpp
Body matmul;                                                                // matmul.cpp
Body reduce_sum, softmax, softmax_bwd;                                      // reduce.cpp
Body norm, norm_bwd, norm_bwd_weight;                                       // norm.cpp
Body rope;                                                                  // rope.cpp
Body gather, scatter_add, write_rows;                                       // rows.cpp
Body cross_entropy, cross_entropy_bwd;                                      // cross_entropy.cpp
Body dropout;                                                               // dropout.cpp
Body skew, unskew, inverse, orthonormal;                                    // small.cpp
Body attention, attention_bwd;                                              // attention.cpp
Body swiglu, swiglu_bwd, add_norm, adam_update, adam8_update, sum_squares;  // fused.cpp

/// What matmul takes for itself. Asked for, it stands in the plan, and what of a workspace nobody writes to
/// takes no memory.
std::uint64_t matmul_workspace(graft_device*, const graft_kernel_args* args);

/// Every kernel by its name. The first `required` of them are those that no backend may lack.
struct KernelTable {
  const graft_kernel* kernels;
  std::uint32_t count, required;
};
KernelTable kernel_table();

// Formulas that more than one kernel needs.
double act_value(std::int64_t kind, double x);
double act_derivative(std::int64_t kind, double x);
/// One row of "norm/1"; `bias` may be NULL. `dtype` is T, to which RMS rounds before the weight.
/// The weight of a norm: that input of the call plus the attribute "offset".
Values norm_weight(const graft_kernel_args& args, std::uint32_t input);
void norm_row(const double* x, const double* weight, const double* bias, double* y, std::int64_t d,
              std::int64_t kind, double eps, std::uint32_t dtype);

}  // namespace graft::ref
