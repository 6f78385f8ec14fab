// Elementwise ops: add, sub, mul, div (broadcasting), affine, act, act_bwd, cast, detach, swiglu.
#include <graft/plugin.h>

#include "core/base/error.hpp"
#include "core/graph/gradient_rules.hpp"
#include "core/graph/recorder.hpp"
#include "core/graph/shape_rules.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

using Grads = std::vector<ValueId>;
using Span = std::span<const ValueId>;

std::vector<TypeShape> infer_binary(const InferArgs& a) {
  require_same_dtype(a, 0, 2);
  return {{a.in[0].dtype, broadcast(a, a.in[0].shape, a.in[1].shape)}};
}

// y = a + b:  da = dy, db = dy, each summed over what was broadcast.
Grads derive_add(Recorder& r, const Node& n, Span d, const std::vector<bool>& wanted) {
  Grads g(2, kNone);
  for (std::size_t i = 0; i < 2; ++i) {
    if (wanted[i]) g[i] = reduce_gradient(r, d[0], n.in[i]);
  }
  return g;
}

Grads derive_sub(Recorder& r, const Node& n, Span d, const std::vector<bool>& wanted) {
  Grads g = derive_add(r, n, d, wanted);
  if (wanted[1]) g[1] = r.affine(g[1], -1, 0);
  return g;
}

// y = a b:  da = dy b, db = dy a.
Grads derive_mul(Recorder& r, const Node& n, Span d, const std::vector<bool>& wanted) {
  Grads g(2, kNone);
  for (std::size_t i = 0; i < 2; ++i) {
    if (wanted[i]) g[i] = reduce_gradient(r, r.mul(d[0], n.in[1 - i]), n.in[i]);
  }
  return g;
}

// y = a / b:  da = dy / b, db = -dy y / b.
Grads derive_div(Recorder& r, const Node& n, Span d, const std::vector<bool>& wanted) {
  Grads g(2, kNone);
  const ValueId da = r.div(d[0], n.in[1]);
  if (wanted[0]) g[0] = reduce_gradient(r, da, n.in[0]);
  if (wanted[1]) g[1] = reduce_gradient(r, r.affine(r.mul(da, n.out[0]), -1, 0), n.in[1]);
  return g;
}

Grads derive_affine(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  return {r.affine(d[0], attr(n.params, "mul").f, 0)};
}

std::vector<TypeShape> infer_act(const InferArgs& a) {
  const std::int64_t kind = attr(a.params, "kind").i;
  if (kind < GRAFT_ACT_RELU || kind > GRAFT_ACT_SIGN) a.refuse(cat("unknown kind ", kind, "."));
  return like_first(a);
}

Grads derive_act(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  if (attr(n.params, "kind").i == GRAFT_ACT_SIGN) return {kNone};
  return {r.one("act_bwd", {d[0], n.in[0]}, {attr(n.params, "kind")})};
}

std::vector<TypeShape> infer_act_bwd(const InferArgs& a) {
  require_same_dtype(a, 0, 2);
  require(a, a.in[0].shape == a.in[1].shape, "dy and x must have one shape.");
  return like_first(a);
}

std::vector<TypeShape> infer_cast(const InferArgs& a) {
  const auto to = static_cast<std::uint32_t>(attr(a.params, "dtype").i);
  dtype_size(to);  // throws for what is no dtype
  return {{to, a.in[0].shape}};
}

Grads derive_cast(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  return {r.cast(d[0], r.dtype(n.in[0]))};
}

Grads derive_detach(Recorder&, const Node&, Span, const std::vector<bool>&) {
  return {kNone};
}

std::vector<TypeShape> infer_swiglu(const InferArgs& a) {
  require_same_dtype(a, 0, a.in.size());
  for (const TypeShape& t : a.in) {
    require(a, t.shape == a.in[0].shape, "gate and up must have one shape.");
  }
  return like_first(a);
}

std::vector<TypeShape> infer_swiglu_bwd(const InferArgs& a) {
  const std::vector<TypeShape> one = infer_swiglu(a);
  return {one[0], one[0]};
}

// y = silu(gate) up.
Grads decompose_swiglu(Recorder& r, const Node& n) {
  return {r.mul(r.act(n.in[0], GRAFT_ACT_SILU), n.in[1])};
}

Grads derive_swiglu(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  return r.record("swiglu_bwd", {d[0], n.in[0], n.in[1]});
}

// dgate = dy up silu'(gate), dup = dy silu(gate).
Grads decompose_swiglu_bwd(Recorder& r, const Node& n) {
  const ValueId dy = n.in[0], gate = n.in[1], up = n.in[2];
  const ValueId dgate = r.one("act_bwd", {r.mul(dy, up), gate}, {{"kind", GRAFT_ACT_SILU, 0}});
  return {dgate, r.mul(dy, r.act(gate, GRAFT_ACT_SILU))};
}

/// `cheap`: sums are kept rather than made again, as that would keep two tensors for one.
OpDef binary(std::string_view name, const char* kernel, bool cheap,
             decltype(OpDef::derive) derive) {
  OpDef op;
  op.name = name;
  op.kernel = kernel;
  op.min_inputs = op.max_inputs = 2;
  op.traits = {
      .in_place_input = 0, .accumulates = false, .cheap = cheap, .broadcasts = true, .tiles = true};
  op.infer = infer_binary;
  op.derive = derive;
  return op;
}

}  // namespace

std::vector<OpDef> elementwise_ops() {
  std::vector<OpDef> ops = {
      binary("add", "add/1", false, derive_add), binary("sub", "sub/1", false, derive_sub),
      binary("mul", "mul/1", true, derive_mul), binary("div", "div/1", true, derive_div)};
  const OpTraits in_place = {
      .in_place_input = 0, .accumulates = false, .cheap = true, .tiles = true};

  OpDef affine;
  affine.name = "affine";
  affine.kernel = "affine/1";
  affine.attrs = {{"mul", true, 1}, {"add", true, 0}};
  affine.traits = in_place;
  affine.infer = like_first;
  affine.derive = derive_affine;
  ops.push_back(affine);

  OpDef act;
  act.name = "act";
  act.kernel = "act/1";
  act.attrs = {{"kind", false, 0, true}};
  act.traits = in_place;
  act.infer = infer_act;
  act.derive = derive_act;
  ops.push_back(act);

  OpDef act_bwd = act;
  act_bwd.name = "act_bwd";
  act_bwd.kernel = "act_bwd/1";
  act_bwd.min_inputs = act_bwd.max_inputs = 2;
  act_bwd.infer = infer_act_bwd;
  act_bwd.derive = nullptr;
  ops.push_back(act_bwd);

  OpDef cast;
  cast.name = "cast";
  cast.kernel = "copy/1";
  cast.attrs = {{"dtype", false, 0, true}};
  cast.traits = {.in_place_input = -1, .accumulates = true, .cheap = true, .tiles = true};
  cast.infer = infer_cast;
  cast.derive = derive_cast;
  ops.push_back(cast);

  OpDef detach;
  detach.name = "detach";
  detach.lowering = Lowering::kView;
  detach.traits.cheap = detach.traits.tiles = true;
  detach.infer = like_first;
  detach.derive = derive_detach;
  ops.push_back(detach);

  OpDef swiglu;
  swiglu.name = "swiglu";
  swiglu.lowering = Lowering::kComposite;
  swiglu.kernel = "swiglu/1";
  swiglu.min_inputs = swiglu.max_inputs = 2;
  swiglu.traits = {.in_place_input = -1, .accumulates = false, .cheap = true, .tiles = true};
  swiglu.infer = infer_swiglu;
  swiglu.derive = derive_swiglu;
  swiglu.decompose = decompose_swiglu;
  ops.push_back(swiglu);

  OpDef swiglu_bwd = swiglu;
  swiglu_bwd.name = "swiglu_bwd";
  swiglu_bwd.kernel = "swiglu_bwd/1";
  swiglu_bwd.min_inputs = swiglu_bwd.max_inputs = 3;
  swiglu_bwd.infer = infer_swiglu_bwd;
  swiglu_bwd.derive = nullptr;
  swiglu_bwd.decompose = decompose_swiglu_bwd;
  ops.push_back(swiglu_bwd);
  return ops;
}

}  // namespace graft::core
