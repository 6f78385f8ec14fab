// Attention over ragged rows, and its derivative. Arguments as in graft/plugin.h, "attention/1".
#include <graft/plugin.h>

#include "core/base/error.hpp"
#include "core/graph/recorder.hpp"
#include "core/graph/shape_rules.hpp"

namespace graft::core {
namespace {

std::uint32_t statistics_dtype(std::uint32_t dtype) {
  return dtype == GRAFT_F64 ? std::uint32_t{GRAFT_F64} : std::uint32_t{GRAFT_F32};
}

void require_operands(const InferArgs& a, std::size_t q, std::size_t index) {
  require_same_dtype(a, q, 3);
  for (std::size_t i = q; i < q + 3; ++i) require_rank(a, i, 3, "q, k or v");
  for (std::size_t i = index; i < index + 3; ++i) {
    require_dtype(a, i, GRAFT_I32, "cu_q, k_begin or k_len");
    require_rank(a, i, 1, "cu_q, k_begin or k_len");
  }
  const Shape &qs = a.in[q].shape, &ks = a.in[q + 1].shape, &vs = a.in[q + 2].shape;
  require(a, ks[0] == vs[0] && ks[1] == vs[1], "k and v need the same rows and heads.");
  require(a, qs[2] == ks[2], "q and k need the same head_dim.");
  require(
      a,
      qs[1].fixed() && ks[1].fixed() && ks[1].constant > 0 && qs[1].constant % ks[1].constant == 0,
      "the number of query heads must be a multiple of the number of kv heads.");
}

std::vector<TypeShape> infer_attention(const InferArgs& a) {
  require_operands(a, 0, 3);
  const Shape& q = a.in[0].shape;
  return {{a.in[0].dtype, {q[0], q[1], a.in[2].shape[2]}},
          {statistics_dtype(a.in[0].dtype), {q[0], q[1]}}};
}

std::vector<TypeShape> infer_attention_bwd(const InferArgs& a) {
  require_operands(a, 1, 6);
  return {{a.in[1].dtype, a.in[1].shape},
          {a.in[2].dtype, a.in[2].shape},
          {a.in[3].dtype, a.in[3].shape}};
}

std::vector<ValueId> derive_attention(Recorder& r, const Node& n, std::span<const ValueId> d,
                                      const std::vector<bool>&) {
  if (d[1] != kNone) {
    throw Error(GRAFT_E_INVALID, cat("attention at '", n.site, "': lse has no derivative."));
  }
  const auto& p = n.params;
  std::vector<ValueId> g =
      r.record("attention_bwd",
               {d[0], n.in[0], n.in[1], n.in[2], n.out[0], n.out[1], n.in[3], n.in[4], n.in[5]},
               {attr(p, "scale"), attr(p, "causal"), attr(p, "window"), attr(p, "softcap")});
  g.resize(6, kNone);
  return g;
}

}  // namespace

std::vector<OpDef> attention_ops() {
  OpDef attention;
  attention.name = "attention";
  attention.kernel = "attention/1";
  attention.attrs = {
      {"scale", true, 1, true}, {"causal", false, 1}, {"window", false, 0}, {"softcap", true, 0}};
  attention.min_inputs = attention.max_inputs = 6;
  attention.infer = infer_attention;
  attention.derive = derive_attention;

  OpDef backward = attention;
  backward.name = "attention_bwd";
  backward.kernel = "attention_bwd/1";
  backward.min_inputs = backward.max_inputs = 9;
  backward.infer = infer_attention_bwd;
  backward.derive = nullptr;
  return {attention, backward};
}

}  // namespace graft::core
