// Attention: checks, and where the operands are.
#include "plugins/backends/cpu/call.hpp"

namespace graft_cpu {

namespace {

/// Shapes and attributes; args.in[first] is q, args.in[lengths] is cu_q.
AttentionCall shapes_of(const graft_device& device, const graft_kernel_args& args,
                        std::uint32_t first, std::uint32_t lengths) {
  const graft_view &q = args.in[first], &k = args.in[first + 1], &v = args.in[first + 2];
  require(q.ndim == 3 && k.ndim == 3 && v.ndim == 3, "attention: q, k and v have 3 axes");
  AttentionCall c = {};
  c.threads = device.threads;
  c.type = float_type(q);
  c.rows = q.shape[0];
  c.heads = q.shape[1];
  c.d = q.shape[2];
  c.key_rows = k.shape[0];
  c.kv_heads = k.shape[1];
  c.dv = v.shape[2];
  require(k.dtype == q.dtype && v.dtype == q.dtype, "attention: q, k and v differ in dtype");
  require(k.shape[2] == c.d, "attention: q and k differ in head_dim");
  require(v.shape[0] == c.key_rows && v.shape[1] == c.kv_heads, "attention: k and v differ");
  require(c.kv_heads > 0 ? c.heads % c.kv_heads == 0 : c.heads == 0,
          "attention: heads is not a multiple of kv_heads");
  c.sequences = gb::elements(args.in[lengths]) - 1;
  require(c.sequences >= 0 && gb::elements(args.in[lengths + 1]) == c.sequences &&
              gb::elements(args.in[lengths + 2]) == c.sequences,
          "attention: cu_q is [s + 1], k_begin and k_len are [s]");
  c.scale = static_cast<float>(gb::attr_f(&args, "scale", 1));
  c.softcap = static_cast<float>(gb::attr_f(&args, "softcap"));
  c.causal = gb::attr_i(&args, "causal") != 0;
  c.window = gb::attr_i(&args, "window");
  return c;
}

void set_lengths(AttentionCall& c, const graft_view& cu_q, const graft_view& k_begin,
                 const graft_view& k_len) {
  for (const graft_view* view : {&cu_q, &k_begin, &k_len})
    require(view->dtype == GRAFT_I32, "attention: cu_q, k_begin and k_len are I32");
  c.cu_q = gb::data<const std::int32_t>(cu_q);
  c.k_begin = gb::data<const std::int32_t>(k_begin);
  c.k_len = gb::data<const std::int32_t>(k_len);
  for (std::int64_t s = 0; s < c.sequences; ++s)
    require(c.cu_q[s] >= 0 && c.cu_q[s] <= c.cu_q[s + 1] && c.cu_q[s + 1] <= c.rows &&
                c.k_begin[s] >= 0 && c.k_len[s] >= 0 &&
                std::int64_t{c.k_begin[s]} + c.k_len[s] <= c.key_rows,
            "attention: a sequence's rows are not among those of q and k");
}

template <typename Data>
void set(const graft_view& view, Data*& data, std::int64_t& row, std::int64_t& head) {
  data = view.data;
  row = view.stride[0];
  head = view.stride[1];
}

}  // namespace

std::uint64_t attention_workspace(graft_device* device, const graft_kernel_args* args) {
  const AttentionCall c = shapes_of(*device, *args, 0, 3);
  return device->isa->attention_workspace(&c);
}

void attention(Call& call) {
  AttentionCall c = shapes_of(call.device, call.args, 0, 3);
  const graft_view q = call.in_rows(0), k = call.in_rows(1), v = call.in_rows(2);
  const graft_view cu_q = call.in_dense(3), k_begin = call.in_dense(4), k_len = call.in_dense(5);
  const graft_view o = call.out_rows(0), lse = call.out_dense(1);
  require(o.ndim == 3 && o.dtype == q.dtype && o.shape[0] == c.rows && o.shape[1] == c.heads &&
              o.shape[2] == c.dv && gb::elements(lse) == c.rows * c.heads && lse.dtype == GRAFT_F32,
          "attention: o is not [rows, heads, dv] or lse not F32 [rows, heads]");
  set_lengths(c, cu_q, k_begin, k_len);
  set(q, c.q, c.q_row, c.q_head);
  set(k, c.k, c.k_row, c.k_head);
  set(v, c.v, c.v_row, c.v_head);
  set(o, c.o, c.o_row, c.o_head);
  c.lse = gb::data<float>(lse);
  c.workspace = call.workspace(call.isa().attention_workspace(&c));
  call.isa().attention(&c);
}

std::uint64_t attention_bwd_workspace(graft_device* device, const graft_kernel_args* args) {
  const AttentionCall c = shapes_of(*device, *args, 1, 6);
  return device->isa->attention_bwd_workspace(&c);
}

void attention_bwd(Call& call) {
  AttentionCall c = shapes_of(call.device, call.args, 1, 6);
  const graft_view grad_o = call.in_rows(0), q = call.in_rows(1), k = call.in_rows(2);
  const graft_view v = call.in_rows(3), o = call.in_rows(4), lse = call.in_dense(5);
  const graft_view cu_q = call.in_dense(6), k_begin = call.in_dense(7), k_len = call.in_dense(8);
  const graft_view dq = call.out_rows(0), dk = call.out_rows(1), dv = call.out_rows(2);
  require(gb::same_shape(grad_o, o) && gb::same_shape(dq, q) && gb::same_shape(dk, k) &&
              gb::same_shape(dv, v) && o.ndim == 3 && o.shape[0] == c.rows &&
              o.shape[1] == c.heads && o.shape[2] == c.dv && gb::elements(lse) == c.rows * c.heads,
          "attention_bwd: shapes do not belong together");
  for (const graft_view* view : {&grad_o, &o, &dq, &dk, &dv})
    require(view->dtype == q.dtype, "attention_bwd: operands differ in dtype");
  set_lengths(c, cu_q, k_begin, k_len);
  set(grad_o, c.grad_o, c.grad_o_row, c.grad_o_head);
  set(q, c.q, c.q_row, c.q_head);
  set(k, c.k, c.k_row, c.k_head);
  set(v, c.v, c.v_row, c.v_head);
  set(o, c.o, c.o_row, c.o_head);
  set(dq, c.grad_q, c.grad_q_row, c.grad_q_head);
  set(dk, c.grad_k, c.grad_k_row, c.grad_k_head);
  set(dv, c.grad_v, c.grad_v_row, c.grad_v_head);
  c.lse = gb::data<float>(lse);
  c.workspace = call.workspace(call.isa().attention_bwd_workspace(&c));
  call.isa().attention_bwd(&c);
}

}  // namespace graft_cpu
