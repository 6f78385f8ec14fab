// Ops over rows: softmax, norm, rope, dropout, and their derivatives.
#include <graft/plugin.h>

#include "core/base/error.hpp"
#include "core/graph/recorder.hpp"
#include "core/graph/shape_rules.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

using Grads = std::vector<ValueId>;
using Span = std::span<const ValueId>;

Grads derive_softmax(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  return {r.one("softmax_bwd", {d[0], n.out[0]})};
}

std::vector<TypeShape> infer_pair(const InferArgs& a) {
  require_same_dtype(a, 0, 2);
  require(a, a.in[0].shape == a.in[1].shape, "both inputs must have one shape.");
  return like_first(a);
}

void require_norm_weights(const InferArgs& a, std::size_t from) {
  for (std::size_t i = from; i < a.in.size(); ++i) {
    require(a, a.in[i].shape.size() == 1 && a.in[i].shape[0] == a.in[0].shape.back(),
            "weight and bias must have one number for each element of the last axis.");
  }
}

std::vector<TypeShape> infer_norm(const InferArgs& a) {
  require_same_dtype(a, 0, a.in.size());
  require_norm_weights(a, 1);
  return like_first(a);
}

std::vector<TypeShape> infer_norm_bwd(const InferArgs& a) {
  require_same_dtype(a, 0, 3);
  require_norm_weights(a, 2);
  return infer_pair(a);
}

std::vector<TypeShape> infer_norm_bwd_weight(const InferArgs& a) {
  infer_pair(a);
  const std::uint32_t dtype = a.in[0].dtype == GRAFT_F64 ? GRAFT_F64 : GRAFT_F32;
  const Shape shape = {a.in[0].shape.back()};
  if (attr(a.params, "kind").i == GRAFT_NORM_LAYER) return {{dtype, shape}, {dtype, shape}};
  return {{dtype, shape}};
}

Grads derive_norm(Recorder& r, const Node& n, Span d, const std::vector<bool>& wanted) {
  const Attr kind = attr(n.params, "kind"), eps = attr(n.params, "eps");
  const Attr offset = attr(n.params, "offset");
  Grads g(n.in.size(), kNone);
  if (wanted[0]) g[0] = r.one("norm_bwd", {d[0], n.in[0], n.in[1]}, {kind, eps, offset});
  if (wanted[1] || (n.in.size() == 3 && wanted[2])) {
    const Grads w = r.record("norm_bwd_weight", {d[0], n.in[0]}, {kind, eps});
    for (std::size_t i = 1; i < n.in.size(); ++i) {
      if (wanted[i]) g[i] = w.at(i - 1);
    }
  }
  return g;
}

std::vector<TypeShape> infer_rope(const InferArgs& a) {
  require_rank(a, 0, 3, "x");
  require_dtype(a, 1, GRAFT_I32, "positions");
  require_dtype(a, 2, GRAFT_F32, "inv_freq");
  require(a, a.in[1].shape.size() == 1 && a.in[1].shape[0] == a.in[0].shape[0],
          "positions must have one number for each row.");
  const Shape& frequencies = a.in[2].shape;
  require(
      a, frequencies.size() == 1 || (frequencies.size() == 2 && frequencies[0] == a.in[0].shape[0]),
      "inv_freq must be [rotary / 2], or that for each row.");
  return like_first(a);
}

// A rotation's derivative is the rotation back.
Grads derive_rope(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  const std::int64_t inverse = attr(n.params, "inverse").i;
  return {r.one("rope", {d[0], n.in[1], n.in[2]},
                {attr(n.params, "scale"), {"inverse", inverse ? 0 : 1, 0}}),
          kNone, kNone};
}

std::vector<TypeShape> infer_dropout(const InferArgs& a) {
  require_dtype(a, 1, GRAFT_I32, "keys");
  require_dtype(a, 2, GRAFT_I32, "seed");
  require(a, a.in[1].shape.size() == 2 && a.in[1].shape[0] == a.in[0].shape.at(0),
          "keys must have a pair for each row.");
  return like_first(a);
}

// The same mask and factor applied to the gradient.
Grads derive_dropout(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  return {
      r.one("dropout", {d[0], n.in[1], n.in[2]}, {attr(n.params, "p"), attr(n.params, "stream")}),
      kNone, kNone};
}

}  // namespace

std::vector<OpDef> row_ops() {
  const OpTraits in_place = {
      .in_place_input = 0, .accumulates = false, .cheap = true, .tiles = true};
  OpDef softmax;
  softmax.name = "softmax";
  softmax.kernel = "softmax/1";
  softmax.traits = in_place;
  softmax.infer = like_first;
  softmax.derive = derive_softmax;

  OpDef softmax_bwd;
  softmax_bwd.name = "softmax_bwd";
  softmax_bwd.kernel = "softmax_bwd/1";
  softmax_bwd.min_inputs = softmax_bwd.max_inputs = 2;
  softmax_bwd.traits = in_place;
  softmax_bwd.infer = infer_pair;

  OpDef norm;
  norm.name = "norm";
  norm.kernel = "norm/1";
  norm.attrs = {{"kind", false, GRAFT_NORM_RMS}, {"eps", true, 0, true}, {"offset", true, 0}};
  norm.min_inputs = 2;
  norm.max_inputs = 3;
  norm.traits = {.in_place_input = -1, .accumulates = false, .cheap = true, .tiles = true};
  norm.infer = infer_norm;
  norm.derive = derive_norm;

  OpDef norm_bwd = norm;
  norm_bwd.name = "norm_bwd";
  norm_bwd.kernel = "norm_bwd/1";
  norm_bwd.min_inputs = norm_bwd.max_inputs = 3;
  norm_bwd.infer = infer_norm_bwd;
  norm_bwd.derive = nullptr;

  OpDef norm_bwd_weight = norm_bwd;
  norm_bwd_weight.name = "norm_bwd_weight";
  norm_bwd_weight.kernel = "norm_bwd_weight/1";
  norm_bwd_weight.attrs = {{"kind", false, GRAFT_NORM_RMS}, {"eps", true, 0, true}};
  norm_bwd_weight.min_inputs = norm_bwd_weight.max_inputs = 2;
  norm_bwd_weight.traits = {
      .in_place_input = -1, .accumulates = true, .cheap = false, .tiles = true};
  norm_bwd_weight.infer = infer_norm_bwd_weight;

  OpDef rope;
  rope.name = "rope";
  rope.kernel = "rope/1";
  rope.attrs = {{"scale", true, 1}, {"inverse", false, 0}};
  rope.min_inputs = rope.max_inputs = 3;
  rope.traits = in_place;
  rope.infer = infer_rope;
  rope.derive = derive_rope;

  OpDef dropout;
  dropout.name = "dropout";
  dropout.kernel = "dropout/1";
  dropout.attrs = {{"p", true, 0, true}, {"stream", false, 0, true}};
  dropout.min_inputs = dropout.max_inputs = 3;
  dropout.traits = in_place;
  dropout.infer = infer_dropout;
  dropout.derive = derive_dropout;
  return {softmax, softmax_bwd, norm, norm_bwd, norm_bwd_weight, rope, dropout};
}

}  // namespace graft::core
