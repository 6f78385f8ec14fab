// Cross entropy of logits against labels, one loss per row.
#include <graft/plugin.h>

#include "core/base/error.hpp"
#include "core/graph/recorder.hpp"
#include "core/graph/shape_rules.hpp"

namespace graft::core {
namespace {

std::uint32_t statistics_dtype(std::uint32_t dtype) {
  return dtype == GRAFT_F64 ? std::uint32_t{GRAFT_F64} : std::uint32_t{GRAFT_F32};
}

std::vector<TypeShape> infer_cross_entropy(const InferArgs& a) {
  require_rank(a, 0, 2, "logits");
  require_dtype(a, 1, GRAFT_I32, "labels");
  require(a, a.in[1].shape.size() == 1 && a.in[1].shape[0] == a.in[0].shape[0],
          "needs a label for each row.");
  const TypeShape rows = {statistics_dtype(a.in[0].dtype), {a.in[0].shape[0]}};
  return {rows, rows};
}

// dlogits = dloss (softmax(logits) - onehot(label)).
std::vector<ValueId> derive_cross_entropy(Recorder& r, const Node& n, std::span<const ValueId> d,
                                          const std::vector<bool>&) {
  if (d[1] != kNone) {
    throw Error(GRAFT_E_INVALID, cat("cross_entropy at '", n.site, "': lse has no derivative."));
  }
  return {r.one("cross_entropy_bwd", {n.in[0], n.in[1], n.out[1], d[0]}), kNone};
}

}  // namespace

std::vector<OpDef> loss_ops() {
  OpDef loss;
  loss.name = "cross_entropy";
  loss.kernel = "cross_entropy/1";
  loss.min_inputs = loss.max_inputs = 2;
  loss.traits.tiles = true;
  loss.infer = infer_cross_entropy;
  loss.derive = derive_cross_entropy;

  OpDef backward;
  backward.name = "cross_entropy_bwd";
  backward.kernel = "cross_entropy_bwd/1";
  backward.min_inputs = backward.max_inputs = 4;
  backward.traits = {.in_place_input = 0, .accumulates = false, .cheap = false, .tiles = true};
  backward.infer = like_first;
  return {loss, backward};
}

}  // namespace graft::core
