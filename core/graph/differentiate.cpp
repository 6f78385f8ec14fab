#include "core/graph/differentiate.hpp"

#include <graft/types.h>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

/// Which values a trainable parameter sits below.
std::vector<bool> needs_gradient(const Graph& graph) {
  std::vector<bool> needs(graph.values.size(), false);
  for (std::size_t i = 0; i < needs.size(); ++i) needs[i] = graph.values[i].trainable;
  for (const Node& node : graph.nodes) {
    bool any = false;
    for (const ValueId id : node.in) any = any || needs[static_cast<std::size_t>(id)];
    for (const ValueId id : node.out) needs[static_cast<std::size_t>(id)] = any;
  }
  return needs;
}

class Gradients {
 public:
  explicit Gradients(Recorder& r, std::size_t values) : r_(r), of_(values, kNone) {}

  ValueId of(ValueId id) const { return of_[static_cast<std::size_t>(id)]; }

  void add(ValueId id, ValueId gradient) {
    if (r_.value(id).trainable && r_.dtype(id) != GRAFT_F64)
      gradient = r_.cast(gradient, GRAFT_F32);
    ValueId& sum = of_[static_cast<std::size_t>(id)];
    sum = sum == kNone ? gradient : r_.add(sum, gradient);
  }

 private:
  Recorder& r_;
  std::vector<ValueId> of_;
};

void derive(Recorder& r, const Node& node, const std::vector<bool>& needs, Gradients& gradients) {
  std::vector<ValueId> d_out;
  bool any = false;
  for (const ValueId id : node.out) {
    d_out.push_back(gradients.of(id));
    any = any || d_out.back() != kNone;
  }
  std::vector<bool> wanted;
  bool used = false;
  for (const ValueId id : node.in) {
    wanted.push_back(needs[static_cast<std::size_t>(id)]);
    used = used || wanted.back();
  }
  if (!any || !used) return;
  if (!node.op->derive) {
    throw Error(GRAFT_E_INVALID, cat(node.op->name, " at '", node.site, "' has no derivative."));
  }
  if (d_out[0] == kNone) d_out[0] = r.fill(r.dtype(node.out[0]), r.shape(node.out[0]), 0);
  r.at(node.site, node.layer);
  const std::vector<ValueId> d_in = node.op->derive(r, node, d_out, wanted);
  for (std::size_t i = 0; i < node.in.size(); ++i) {
    if (wanted[i] && d_in.at(i) != kNone) gradients.add(node.in[i], d_in[i]);
  }
}

}  // namespace

std::map<ValueId, ValueId> differentiate(Recorder& r, ValueId loss) {
  Graph& graph = r.graph();
  if (r.shape(loss) != Shape{1}) {
    throw Error(GRAFT_E_INVALID,
                cat("differentiate: the loss is ", to_string(r.shape(loss)), ", not [1]."));
  }
  const std::vector<bool> needs = needs_gradient(graph);
  const std::size_t values = graph.values.size();
  const std::size_t forward = graph.nodes.size();
  std::map<ValueId, ValueId> result;
  if (!needs[static_cast<std::size_t>(loss)]) return result;

  r.direction(Direction::kBackward);
  Gradients gradients(r, values);
  gradients.add(loss, r.fill(r.dtype(loss), {1}, 1));
  for (std::size_t i = forward; i-- > 0;) {
    const Node node = graph.nodes[i];  // a copy: deriving appends to graph.nodes
    derive(r, node, needs, gradients);
  }
  for (std::size_t i = 0; i < values; ++i) {
    const auto id = static_cast<ValueId>(i);
    if (graph[id].trainable && gradients.of(id) != kNone) result[id] = gradients.of(id);
  }
  r.direction(Direction::kForward);
  return result;
}

}  // namespace graft::core
