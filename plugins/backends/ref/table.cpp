#include "kernels.hpp"

namespace graft::ref {
namespace {

template <Body* body, std::uint32_t min_in, std::uint32_t max_in, std::uint32_t n_out>
constexpr graft_kernel entry(const char* name, decltype(graft_kernel::supports) supports = nullptr,
                             decltype(graft_kernel::workspace) workspace = nullptr) {
  return {name, run<body, min_in, max_in, n_out>, supports, workspace};
}

// In the order of the contract; inputs needed, inputs at most, outputs needed.
constexpr graft_kernel kTable[] = {
    entry<copy, 1, 1, 1>("copy/1", reads_blocks),
    entry<fill, 0, 0, 1>("fill/1"),
    entry<add, 2, 2, 1>("add/1"),
    entry<sub, 2, 2, 1>("sub/1"),
    entry<mul, 2, 2, 1>("mul/1"),
    entry<div, 2, 2, 1>("div/1"),
    entry<affine, 1, 1, 1>("affine/1"),
    entry<act, 1, 1, 1>("act/1"),
    entry<act_bwd, 2, 2, 1>("act_bwd/1"),
    entry<matmul, 2, 3, 1>("matmul/1", reads_blocks, matmul_workspace),
    entry<reduce_sum, 1, 1, 1>("reduce_sum/1"),
    entry<softmax, 1, 1, 1>("softmax/1"),
    entry<softmax_bwd, 2, 2, 1>("softmax_bwd/1"),
    entry<norm, 2, 3, 1>("norm/1"),
    entry<norm_bwd, 3, 3, 1>("norm_bwd/1"),
    entry<norm_bwd_weight, 2, 2, 1>("norm_bwd_weight/1"),
    entry<rope, 3, 3, 1>("rope/1"),
    entry<gather, 2, 2, 1>("gather/1", reads_blocks),
    entry<scatter_add, 2, 2, 1>("scatter_add/1"),
    entry<write_rows, 2, 2, 1>("write_rows/1"),
    entry<cross_entropy, 2, 2, 2>("cross_entropy/1"),
    entry<cross_entropy_bwd, 4, 4, 1>("cross_entropy_bwd/1"),
    entry<dropout, 3, 3, 1>("dropout/1"),
    entry<attention, 6, 6, 2>("attention/1"),
    entry<attention_bwd, 9, 9, 3>("attention_bwd/1"),
    entry<skew, 1, 1, 1>("skew/1"),
    entry<unskew, 1, 1, 1>("unskew/1"),
    entry<inverse, 1, 1, 1>("inverse/1"),
    entry<orthonormal, 1, 1, 1>("orthonormal/1"),
    // optional
    entry<swiglu, 2, 2, 1>("swiglu/1"),
    entry<swiglu_bwd, 3, 3, 2>("swiglu_bwd/1"),
    entry<add_norm, 3, 3, 2>("add_norm/1"),
    entry<adam_update, 4, 4, 3>("adam_update/1"),
    entry<sum_squares, 1, 1, 1>("sum_squares/1"),
    entry<adam8_update, 4, 4, 5>("adam8_update/1"),
};
constexpr std::uint32_t kCount = sizeof kTable / sizeof kTable[0];
constexpr std::uint32_t kOptional = 6;

}  // namespace

KernelTable kernel_table() {
  return {kTable, kCount, kCount - kOptional};
}

}  // namespace graft::ref
