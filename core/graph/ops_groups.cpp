// Ops over rows of several groups that share a recording: split_rows, join_rows, take_rows.
#include "core/graph/recorder.hpp"
#include "core/graph/shape_rules.hpp"

namespace graft::core {
namespace {

using Grads = std::vector<ValueId>;
using Span = std::span<const ValueId>;

std::vector<TypeShape> infer_split(const InferArgs& a) {
  require(a, !a.params.shape.empty() && !a.in[0].shape.empty(), "needs rows and their groups.");
  std::vector<TypeShape> parts;
  for (const Extent& rows : a.params.shape) {
    parts.push_back(a.in[0]);
    parts.back().shape[0] = rows;
  }
  return parts;
}

/// What was split into exactly these parts, or kNone.
ValueId whole_of(const Graph& graph, Span parts) {
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    const Node& node = graph.nodes[i];
    if (node.out.empty() || node.out[0] != parts[0]) continue;
    const bool all = node.op->lowering == Lowering::kSplit &&
                     std::equal(parts.begin(), parts.end(), node.out.begin(), node.out.end());
    return all ? node.in[0] : kNone;
  }
  return kNone;
}

Grads derive_split(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  const ValueId whole = whole_of(r.graph(), d);
  if (whole != kNone) return {whole};
  Grads parts;
  for (std::size_t g = 0; g < d.size(); ++g) {
    const bool any = d[g] != kNone;
    parts.push_back(any ? d[g] : r.fill(r.dtype(n.out[g]), r.shape(n.out[g]), 0));
  }
  return {r.join_rows(parts, r.shape(n.in[0])[0])};
}

std::vector<TypeShape> infer_join(const InferArgs& a) {
  require_same_dtype(a, 0, a.in.size());
  require(a, a.params.shape.size() == 1, "needs the number of all rows.");
  TypeShape y = a.in[0];
  for (const TypeShape& part : a.in) {
    require(a, !part.shape.empty() && part.shape.size() == y.shape.size(),
            "all parts need the same number of axes.");
    require(a, std::equal(part.shape.begin() + 1, part.shape.end(), y.shape.begin() + 1),
            "parts may differ in their rows only.");
  }
  y.shape[0] = a.params.shape[0];
  return {y};
}

Grads derive_join(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  Shape rows;
  for (const ValueId part : n.in) rows.push_back(r.shape(part)[0]);
  return r.split_rows(d[0], rows);
}

std::vector<TypeShape> infer_take(const InferArgs& a) {
  require(a, a.params.shape.size() == 2 && !a.in[0].shape.empty(), "needs first row and number.");
  TypeShape y = a.in[0];
  y.shape[0] = a.params.shape[1];
  return {y};
}

}  // namespace

std::vector<OpDef> group_ops() {
  OpDef split;
  split.name = "split_rows";
  split.lowering = Lowering::kSplit;
  split.infer = infer_split;
  split.derive = derive_split;

  OpDef join;
  join.name = "join_rows";
  join.lowering = Lowering::kJoin;
  join.max_inputs = kGroups;
  join.infer = infer_join;
  join.derive = derive_join;

  OpDef take;  // what split_rows and join_rows become
  take.name = "take_rows";
  take.lowering = Lowering::kView;
  take.traits.cheap = true;
  take.infer = infer_take;
  return {split, join, take};
}

}  // namespace graft::core
