// Kernels that work row by row.
#include <cmath>

#include "plugins/backends/cpu/call.hpp"

namespace graft_cpu {

void softmax(Call& call) {
  const graft_view x = call.in_rows(0), y = call.out_rows(0);
  const RowCall rows = rows_of(call, {&x, &y});
  call.isa().softmax(&rows);
}

void softmax_bwd(Call& call) {
  const graft_view dy = call.in_rows(0), y = call.in_rows(1), dx = call.out_rows(0);
  const RowCall rows = rows_of(call, {&dy, &y, &dx});
  call.isa().softmax_bwd(&rows);
}

// ---- cross entropy ----------------------------------------------------------------------------

namespace {

const std::int32_t* labels_of(const graft_view& labels, const RowCall& rows) {
  require(labels.dtype == GRAFT_I32 && gb::elements(labels) == rows.nest.count,
          "cross_entropy: labels are not I32 [rows]");
  const auto* values = gb::data<const std::int32_t>(labels);
  for (std::int64_t r = 0; r < rows.nest.count; ++r)
    if (values[r] >= rows.cols)
      throw Refusal{"cross_entropy: labels[" + std::to_string(r) + "] is " +
                    std::to_string(values[r]) + ", the row has " + std::to_string(rows.cols) +
                    " logits"};
  return values;
}

}  // namespace

void cross_entropy(Call& call) {
  const graft_view logits = call.in_rows(0), labels = call.in_dense(1);
  const graft_view loss = call.out_dense(0), lse = call.out_dense(1);
  CrossEntropyCall c = {};
  c.rows = rows_of(call, {&logits});
  c.labels = labels_of(labels, c.rows);
  c.loss = gb::data<float>(loss);
  c.lse = gb::data<float>(lse);
  call.isa().cross_entropy(&c);
}

void cross_entropy_bwd(Call& call) {
  const graft_view logits = call.in_rows(0), labels = call.in_dense(1), lse = call.in_dense(2);
  const graft_view dloss = call.in_dense(3), dlogits = call.out_rows(0);
  CrossEntropyCall c = {};
  c.rows = rows_of(call, {&logits, &dlogits});
  c.labels = labels_of(labels, c.rows);
  c.lse = gb::data<float>(lse);
  c.dloss = gb::data<const float>(dloss);
  call.isa().cross_entropy_bwd(&c);
}

// ---- norms ------------------------------------------------------------------------------------

namespace {

NormCall norm_call(Call& call, std::initializer_list<const graft_view*> views) {
  NormCall c = {};
  c.rows = rows_of(call, views);
  const std::int64_t kind = call.integer("kind");
  require(kind == GRAFT_NORM_RMS || kind == GRAFT_NORM_LAYER, "norm: unknown kind");
  c.layer = kind == GRAFT_NORM_LAYER;
  c.eps = static_cast<float>(call.real("eps"));
  c.offset = static_cast<float>(call.real("offset"));
  return c;
}

const void* vector_of(const graft_view& view, const NormCall& c, const graft_view& x) {
  require(gb::elements(view) == c.rows.cols && view.dtype == x.dtype,
          "norm: weight or bias is not [d] of x's dtype");
  return view.data;
}

}  // namespace

void norm(Call& call) {
  const graft_view x = call.in_rows(0), weight = call.in_dense(1), y = call.out_rows(0);
  NormCall c = norm_call(call, {&x, &y});
  c.weight = vector_of(weight, c, x);
  if (call.args.n_in > 2) c.bias = vector_of(call.in_dense(2), c, x);
  call.isa().norm(&c);
}

void norm_bwd(Call& call) {
  const graft_view dy = call.in_rows(0), x = call.in_rows(1), weight = call.in_dense(2);
  const graft_view dx = call.out_rows(0);
  NormCall c = norm_call(call, {&dy, &x, &dx});
  c.weight = vector_of(weight, c, x);
  call.isa().norm_bwd(&c);
}

std::uint64_t norm_bwd_weight_workspace(graft_device* device, const graft_kernel_args* args) {
  return static_cast<std::uint64_t>(device->threads * 2 * last_extent(args->in[0])) * sizeof(float);
}

void norm_bwd_weight(Call& call) {
  const bool kept = call.accumulates();
  const graft_view dy = call.in_rows(0), x = call.in_rows(1), dweight = call.out_dense(0, kept);
  const NormCall c = norm_call(call, {&dy, &x});
  graft_view dbias = {};
  if (call.args.n_out > 1) dbias = call.out_dense(1, kept);
  require(dweight.dtype == GRAFT_F32, "norm_bwd_weight: dweight is not f32");
  void* partial = call.workspace(norm_bwd_weight_workspace(&call.device, &call.args));
  call.isa().norm_bwd_weight(&c, gb::data<float>(dweight), gb::data<float>(dbias),
                             static_cast<float*>(partial), kept);
}

void add_norm(Call& call) {
  const graft_view x = call.in_rows(0), r = call.in_rows(1), weight = call.in_dense(2);
  const graft_view s = call.out_rows(0), y = call.out_rows(1);
  NormCall c = norm_call(call, {&x, &r, &s, &y});
  c.weight = vector_of(weight, c, x);
  call.isa().add_norm(&c);
}

// ---- rope, dropout ----------------------------------------------------------------------------

void rope(Call& call) {
  const graft_view x = call.in_rows(0), positions = call.in_dense(1), inv_freq = call.in_dense(2);
  const graft_view y = call.out_rows(0);
  require(x.ndim == 3 && gb::same_shape(x, y), "rope: x and y are not [rows, heads, head_dim]");
  require(positions.dtype == GRAFT_I32 && gb::elements(positions) == x.shape[0],
          "rope: positions are not I32 [rows]");
  RopeCall c = {};
  // The nest is over rows alone: the views without their heads.
  graft_view x_rows = x, y_rows = y;
  for (graft_view* view : {&x_rows, &y_rows}) {
    view->ndim = 2;
    view->shape[1] = view->shape[2];
    view->stride[1] = view->stride[2];
  }
  c.rows = rows_of(call, {&x_rows, &y_rows});
  c.heads = x.shape[1];
  c.head_stride[0] = x.stride[1];
  c.head_stride[1] = y.stride[1];
  const bool by_row = inv_freq.ndim == 2;
  require(inv_freq.ndim == 1 || (by_row && inv_freq.shape[0] == x.shape[0]),
          "rope: inv_freq is not [rotary / 2] or [rows, rotary / 2]");
  c.rotary = 2 * inv_freq.shape[by_row ? 1 : 0];
  c.freq_stride = by_row ? c.rotary / 2 : 0;
  require(inv_freq.dtype == GRAFT_F32 && c.rotary <= c.rows.cols,
          "rope: inv_freq is not F32 with at most head_dim / 2 elements");
  c.positions = gb::data<const std::int32_t>(positions);
  c.inv_freq = gb::data<const float>(inv_freq);
  c.scale = static_cast<float>(call.real("scale", 1));
  c.inverse = call.integer("inverse") != 0;
  call.isa().rope(&c);
}

void dropout(Call& call) {
  const graft_view keys = call.in_dense(1), seed = call.in_dense(2);
  const double p = call.real("p");
  require(keys.dtype == GRAFT_I32 && seed.dtype == GRAFT_I32 && gb::elements(seed) == 2,
          "dropout: keys and seed are not I32 [rows, 2] and [2]");
  graft_view x = call.in_rows(0), y = call.out_rows(0);
  require(x.ndim > 0 && gb::elements(keys) == 2 * x.shape[0], "dropout: keys are not [rows, 2]");
  if (x.ndim == 1)  // rows of one element
    for (graft_view* view : {&x, &y}) {
      view->ndim = 2;
      view->shape[1] = view->stride[1] = 1;
    }
  DropoutCall c = {};
  c.rows = rows_of(call, {&x, &y});
  if (p >= 1) {  // nothing is kept, and the threshold would not fit
    fill(call);
    return;
  }
  c.rows_per_key = x.shape[0] > 0 ? c.rows.nest.count / x.shape[0] : 0;
  c.keys = gb::data<const std::int32_t>(keys);
  std::memcpy(c.seed, seed.data, sizeof c.seed);
  c.stream = static_cast<std::uint32_t>(call.integer("stream"));
  c.threshold = static_cast<std::uint32_t>(std::floor(p * 0x1p32));
  c.keep = static_cast<float>(1 - p);
  call.isa().dropout(&c);
}

}  // namespace graft_cpu
