#include "problems.hpp"

namespace graft::conform {

const std::vector<KernelProblems>& all_kernels() {
  static const std::vector<KernelProblems> kAll = {
      {"copy/1", Types::kEvery, copy_problems},
      {"fill/1", Types::kFloat, fill_problems},
      {"add/1", Types::kFloat, add_problems},
      {"sub/1", Types::kFloat, sub_problems},
      {"mul/1", Types::kFloat, mul_problems},
      {"div/1", Types::kFloat, div_problems},
      {"affine/1", Types::kFloat, affine_problems},
      {"act/1", Types::kFloat, act_problems},
      {"act_bwd/1", Types::kFloat, act_bwd_problems},
      {"matmul/1", Types::kFloat, matmul_problems},
      {"reduce_sum/1", Types::kFloat, reduce_sum_problems},
      {"softmax/1", Types::kFloat, softmax_problems},
      {"softmax_bwd/1", Types::kFloat, softmax_bwd_problems},
      {"norm/1", Types::kFloat, norm_problems},
      {"norm_bwd/1", Types::kFloat, norm_bwd_problems},
      {"norm_bwd_weight/1", Types::kFloat, norm_bwd_weight_problems},
      {"rope/1", Types::kFloat, rope_problems},
      {"gather/1", Types::kFloat, gather_problems},
      {"scatter_add/1", Types::kFloat, scatter_add_problems},
      {"write_rows/1", Types::kFloat, write_rows_problems},
      {"cross_entropy/1", Types::kFloat, cross_entropy_problems},
      {"cross_entropy_bwd/1", Types::kFloat, cross_entropy_bwd_problems},
      {"dropout/1", Types::kFloat, dropout_problems},
      {"attention/1", Types::kFloat, attention_problems},
      {"attention_bwd/1", Types::kFloat, attention_bwd_problems},
      {"skew/1", Types::kFloat, skew_problems},
      {"unskew/1", Types::kFloat, unskew_problems},
      {"inverse/1", Types::kFloat, inverse_problems},
      {"orthonormal/1", Types::kFloat, orthonormal_problems},
      {"swiglu/1", Types::kFloat, swiglu_problems},
      {"swiglu_bwd/1", Types::kFloat, swiglu_bwd_problems},
      {"add_norm/1", Types::kFloat, add_norm_problems},
      {"adam_update/1", Types::kF32, adam_update_problems},
      {"sum_squares/1", Types::kF32, sum_squares_problems},
      {"adam8_update/1", Types::kF32, adam8_update_problems},
  };
  return kAll;
}

}  // namespace graft::conform
