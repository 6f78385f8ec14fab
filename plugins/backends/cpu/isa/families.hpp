// The kernels of this instruction set, as table.cpp lists them.
#ifndef GRAFT_CPU_ISA_FAMILIES_HPP
#define GRAFT_CPU_ISA_FAMILIES_HPP
#include "plugins/backends/cpu/isa/quant_kernels.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

// elementwise.cpp
void convert(const ElementCall*, Type from, Type to, int32_t accumulate);
void binary(const ElementCall*, Binary);
void affine(const ElementCall*, float mul, float add);
int32_t act(const ElementCall*, int32_t kind);
int32_t act_bwd(const ElementCall*, int32_t kind);
void swiglu(const ElementCall*);
void swiglu_bwd(const ElementCall*);

// softmax.cpp
void softmax(const RowCall*);
void softmax_bwd(const RowCall*);
void cross_entropy(const CrossEntropyCall*);
void cross_entropy_bwd(const CrossEntropyCall*);

// norm.cpp
void norm(const NormCall*);
void norm_bwd(const NormCall*);
void norm_bwd_weight(const NormCall*, float* dweight, float* dbias, float* partial,
                     int32_t accumulate);
void add_norm(const NormCall*);

// rows.cpp
void rope(const RopeCall*);
void dropout(const DropoutCall*);
void scatter_add(const ScatterCall*);
void adam(const AdamCall*);
void adam8(const Adam8Call*);

// sum.cpp
void sum_rows(const RowCall*, const Nest* reduced, Type out, int32_t accumulate);
void sum_columns(const RowCall*, const Nest* reduced, Type out, int32_t accumulate);
double sum_dense(int32_t threads, const void* x, Type, int64_t n, int32_t squares, double* partial);

// gemm.cpp
uint64_t gemm_workspace(const GemmCall*);
void gemm(const GemmCall*);

// attention.cpp, attention_bwd.cpp
uint64_t attention_workspace(const AttentionCall*);
void attention(const AttentionCall*);
uint64_t attention_bwd_workspace(const AttentionCall*);
void attention_bwd(const AttentionCall*);

// quant.cpp, quant_dot.cpp
void expand_blocks(const ExpandCall*);
uint64_t dot_blocks_workspace(const GemmCall*);
void dot_blocks(const GemmCall*, const graft_quant*, int32_t format);

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
#endif
