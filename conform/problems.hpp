// The problem lists, one file per family.
#pragma once
#include <cmath>

#include "problem.hpp"

namespace graft::conform {

void quantized_copy_problems(Maker&);
void quantized_matmul_problems(Maker&);
void quantized_gather_problems(Maker&);
void copy_problems(Maker&);
void fill_problems(Maker&);
void add_problems(Maker&);
void sub_problems(Maker&);
void mul_problems(Maker&);
void div_problems(Maker&);
void affine_problems(Maker&);
void act_problems(Maker&);
void act_bwd_problems(Maker&);
void matmul_problems(Maker&);
void reduce_sum_problems(Maker&);
void softmax_problems(Maker&);
void softmax_bwd_problems(Maker&);
void norm_problems(Maker&);
void norm_bwd_problems(Maker&);
void norm_bwd_weight_problems(Maker&);
void rope_problems(Maker&);
void gather_problems(Maker&);
void scatter_add_problems(Maker&);
void write_rows_problems(Maker&);
void cross_entropy_problems(Maker&);
void cross_entropy_bwd_problems(Maker&);
void dropout_problems(Maker&);
void attention_problems(Maker&);
void attention_bwd_problems(Maker&);
void skew_problems(Maker&);
void unskew_problems(Maker&);
void inverse_problems(Maker&);
void orthonormal_problems(Maker&);
void swiglu_problems(Maker&);
void swiglu_bwd_problems(Maker&);
void add_norm_problems(Maker&);
void adam_update_problems(Maker&);
void sum_squares_problems(Maker&);
void adam8_update_problems(Maker&);

/// One problem for each shape and layout that every kernel meets: empty, one element, odd,
/// permuted, strided, padded, broadcast, many axes, large.
struct Case {
  const char* what;
  Shape shape;
  Layout layout;         // of the inputs (and of an in-place result)
  Layout result_layout;  // of a result in memory of its own
};
std::vector<Case> elementwise_cases();

}  // namespace graft::conform
