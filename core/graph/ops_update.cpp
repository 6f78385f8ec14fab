// Ops that write memory which outlives a run: assign, adam_update, adam8_update, sum_squares (its reader).
#include <graft/plugin.h>

#include "core/base/error.hpp"
#include "core/graph/recorder.hpp"
#include "core/graph/shape_rules.hpp"

namespace graft::core {
namespace {

std::vector<TypeShape> infer_assign(const InferArgs& a) {
  if (!(a.in[0].shape == a.in[1].shape)) a.refuse("source and destination differ in shape.");
  return {};
}

std::vector<TypeShape> infer_adam_update(const InferArgs& a) {
  require_same_dtype(a, 0, a.in.size());
  for (std::size_t i = 1; i < 4; ++i) {
    require(a, a.in[i].shape == Shape{1}, "decay, step_size and denom_scale are [1].");
  }
  for (std::size_t i = 4; i < 7; ++i) {
    require(a, a.in[i].shape == a.in[0].shape, "param, m and v must be shaped like the gradient.");
  }
  return {};
}

// Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2, in the order of
// torch.optim.AdamW: decay first, then the step.
std::vector<ValueId> decompose_adam_update(Recorder& r, const Node& n) {
  const ValueId g = n.in[0], decay = n.in[1], step_size = n.in[2], denom_scale = n.in[3];
  const ValueId param = n.in[4], m = n.in[5], v = n.in[6];
  const double beta1 = attr(n.params, "beta1").f, beta2 = attr(n.params, "beta2").f;
  const ValueId new_m = r.add(r.affine(m, beta1, 0), r.affine(g, 1 - beta1, 0));
  const ValueId new_v = r.add(r.affine(v, beta2, 0), r.affine(r.mul(g, g), 1 - beta2, 0));
  const ValueId denom =
      r.affine(r.mul(r.act(new_v, GRAFT_ACT_SQRT), denom_scale), 1, attr(n.params, "eps").f);
  const ValueId step = r.mul(r.div(new_m, denom), step_size);
  r.assign(r.sub(r.mul(param, decay), step), param, false);
  r.assign(new_m, m, false);
  r.assign(new_v, v, false);
  return {};
}

std::vector<TypeShape> infer_adam8_update(const InferArgs& a) {
  for (const std::size_t i : {0, 1, 2, 3, 4, 7, 8}) {
    if (a.in[i].dtype != GRAFT_F32) a.refuse("states of 8 bits are for runs in f32, bf16 or f16.");
  }
  require(a, a.in[5].dtype == GRAFT_U8 && a.in[6].dtype == GRAFT_U8, "m and v are U8.");
  for (std::size_t i = 1; i < 4; ++i) {
    require(a, a.in[i].shape == Shape{1}, "decay, step_size and denom_scale are [1].");
  }
  for (std::size_t i = 4; i < 7; ++i) {
    require(a, a.in[i].shape == a.in[0].shape, "param, m and v must be shaped like the gradient.");
  }
  std::int64_t n = 1;
  for (const Extent& d : a.in[0].shape) n *= d.constant;
  const Shape scales = {(n + 255) / 256};
  require(a, a.in[7].shape == scales && a.in[8].shape == scales,
          "m_scale and v_scale have a number for each 256 of the gradient.");
  return {};
}

std::vector<TypeShape> infer_sum_squares(const InferArgs& a) {
  return {{a.in[0].dtype, {1}}};
}

std::vector<ValueId> decompose_sum_squares(Recorder& r, const Node& n) {
  const ValueId x = n.in[0];
  return {r.reshape(r.reduce_to(r.mul(x, x), {1}), {1})};
}

}  // namespace

std::vector<OpDef> update_ops() {
  OpDef assign;
  assign.name = "assign";
  assign.kernel = "copy/1";
  assign.attrs = {{"accumulate", false, 0}};
  assign.min_inputs = assign.max_inputs = 2;
  assign.written_from = 1;
  assign.infer = infer_assign;

  OpDef adam;
  adam.name = "adam_update";
  adam.lowering = Lowering::kComposite;
  adam.kernel = "adam_update/1";
  adam.attrs = {{"beta1", true, 0, true}, {"beta2", true, 0, true}, {"eps", true, 0, true}};
  adam.min_inputs = adam.max_inputs = 7;
  adam.written_from = 4;
  adam.infer = infer_adam_update;
  adam.decompose = decompose_adam_update;

  OpDef adam8;
  adam8.name = "adam8_update";
  adam8.kernel = "adam8_update/1";
  adam8.attrs = adam.attrs;
  adam8.min_inputs = adam8.max_inputs = 9;
  adam8.written_from = 4;
  adam8.infer = infer_adam8_update;

  OpDef squares;
  squares.name = "sum_squares";
  squares.lowering = Lowering::kComposite;
  squares.kernel = "sum_squares/1";
  squares.infer = infer_sum_squares;
  squares.decompose = decompose_sum_squares;
  return {assign, adam, adam8, squares};
}

}  // namespace graft::core
