// What the baseline half of the plugin and the kernels share. The kernels in isa/ are compiled once
// per instruction set, each time in a namespace of its own; this header is plain data, because an
// inline function or a template instance that both sides emit might be linked in its widest form.
#ifndef GRAFT_CPU_KERNELS_HPP
#define GRAFT_CPU_KERNELS_HPP
#include <stddef.h>
#include <stdint.h>

namespace graft_cpu {

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};
enum Type : int32_t { kF32, kBf16, kF16 };

constexpr int kMaxViews = 6;

/// The axes before the last one, over several views at once.
struct Nest {
  int32_t ndim;
  int64_t count;  // product of the extents
  int64_t extent[8];
  int64_t stride[8][kMaxViews];  // of axis d in view i: stride[d][i]
};

/// count runs of `length` elements; element j of a run is at j * step[i] in view i.
struct ElementCall {
  int32_t threads;
  Type type;
  Nest nest;
  int64_t length;
  int64_t step[kMaxViews];
  void* data[kMaxViews];
};

/// nest.count rows of `cols` neighbouring elements.
struct RowCall {
  int32_t threads;
  Type type;
  Nest nest;
  int64_t cols;
  void* data[kMaxViews];
};

enum class Binary : int32_t { kAdd, kSub, kMul, kDiv };

struct NormCall {  // views: x, y | dy, x, dx | dy, x | x, r, s, y
  RowCall rows;
  int32_t layer;
  float eps, offset;          // the weight is offset + weight
  const void *weight, *bias;  // bias may be NULL
};

struct RopeCall {  // views: x, y; the nest is over rows, the heads are here
  RowCall rows;
  int64_t heads, head_stride[2], rotary, freq_stride;  // freq_stride 0: the same for all rows
  const int32_t* positions;
  const float* inv_freq;
  float scale;
  int32_t inverse;
};

struct CrossEntropyCall {  // views: logits | logits, dlogits
  RowCall rows;
  const int32_t* labels;
  float *loss, *lse;
  const float* dloss;
};

struct DropoutCall {  // views: x, y
  RowCall rows;
  int64_t rows_per_key;  // rows of the nest that share a key: a key's elements are numbered on
  const int32_t* keys;   // [rows, 2]
  uint32_t seed[2], stream, threshold;
  float keep;  // 1 - p
};

/// out[row] = sum of the rows order[begin[g]] .. order[begin[g + 1] - 1], g a group.
struct ScatterCall {
  int32_t threads;
  Type type, out_type;
  int64_t groups, cols, x_stride, out_stride;
  const int64_t *begin, *order, *target;
  const void* x;
  void* out;
  int32_t accumulate;
};

struct AdamCall {
  int32_t threads;
  int64_t n;
  const float* grad;
  float *param, *m, *v;
  float decay, step_size, denom_scale, eps;
  float beta1, beta2, rest1, rest2;  // rest = 1 - beta, taken in f64
};

struct Adam8Call {
  AdamCall adam;   // without m and v
  uint8_t *m, *v;  // codes
  float *m_scale, *v_scale;
  const float *m_map, *v_map;        // 256 values, by code
  const uint8_t *m_codes, *v_codes;  // 65536 codes, by place
};

/// c[i, j] = alpha sum_l a[i, l] b[l, j] + bias[j] (+ c[i, j])
struct GemmCall {
  int32_t threads;
  int64_t m, n, k;
  const void* a;
  int64_t a_row, a_col;
  Type a_type;
  const void* b;
  int64_t b_row, b_col;
  Type b_type;
  void* c;
  int64_t c_row, c_col;  // one of them is 1
  Type c_type;
  const void* bias;  // of a's type; may be NULL
  float alpha;
  int32_t accumulate;
  void* workspace;
};

struct AttentionCall {
  int32_t threads;
  Type type;
  int64_t rows, key_rows, heads, kv_heads, d, dv, sequences;
  const int32_t *cu_q, *k_begin, *k_len;
  float scale, softcap;
  int32_t causal;
  int64_t window;
  const void *q, *k, *v;
  int64_t q_row, q_head, k_row, k_head, v_row, v_head;
  void* o;  // read by the backward pass
  int64_t o_row, o_head;
  float* lse;  // [rows, heads], dense
  // backward
  const void* grad_o;
  int64_t grad_o_row, grad_o_head;
  void *grad_q, *grad_k, *grad_v;
  int64_t grad_q_row, grad_q_head, grad_k_row, grad_k_head, grad_v_row, grad_v_head;
  void* workspace;
};

/// The kernels of one instruction set.
struct IsaKernels {
  const char* name;
  void (*convert)(const ElementCall*, Type from, Type to, int32_t accumulate);  // views: x, y
  void (*binary)(const ElementCall*, Binary);                                   // a, b, y
  void (*affine)(const ElementCall*, float mul, float add);                     // x, y
  int32_t (*act)(const ElementCall*, int32_t kind);      // x, y; 0: unknown kind
  int32_t (*act_bwd)(const ElementCall*, int32_t kind);  // dy, x, dx
  void (*swiglu)(const ElementCall*);                    // gate, up, y
  void (*swiglu_bwd)(const ElementCall*);                // dy, gate, up, dgate, dup

  void (*softmax)(const RowCall*);      // x, y
  void (*softmax_bwd)(const RowCall*);  // dy, y, dx
  void (*norm)(const NormCall*);
  void (*norm_bwd)(const NormCall*);
  // partial: threads * 2 * cols floats
  void (*norm_bwd_weight)(const NormCall*, float* dweight, float* dbias, float* partial,
                          int32_t accumulate);
  void (*add_norm)(const NormCall*);
  void (*rope)(const RopeCall*);
  void (*cross_entropy)(const CrossEntropyCall*);
  void (*cross_entropy_bwd)(const CrossEntropyCall*);
  void (*dropout)(const DropoutCall*);
  void (*scatter_add)(const ScatterCall*);

  // y[i] = sum over the rows of view 0; the nest is over what is kept in view 0 (x) and view 1 (y)
  void (*sum_rows)(const RowCall*, const Nest* reduced, Type out, int32_t accumulate);
  void (*sum_columns)(const RowCall*, const Nest* reduced, Type out, int32_t accumulate);
  double (*sum_dense)(int32_t threads, const void* x, Type, int64_t n, int32_t squares,
                      double* partial);
  void (*adam)(const AdamCall*);
  void (*adam8)(const Adam8Call*);

  uint64_t (*gemm_workspace)(const GemmCall*);
  void (*gemm)(const GemmCall*);
  uint64_t (*attention_workspace)(const AttentionCall*);
  void (*attention)(const AttentionCall*);
  uint64_t (*attention_bwd_workspace)(const AttentionCall*);
  void (*attention_bwd)(const AttentionCall*);
};

constexpr int64_t kSumChunk = 16384;  // elements whose sum is one entry of sum_dense's `partial`

namespace baseline {
const IsaKernels* kernels();
}
namespace avx2 {
const IsaKernels* kernels();
}
namespace avx512 {
const IsaKernels* kernels();
}

}  // namespace graft_cpu
#endif
