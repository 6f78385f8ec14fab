#include <functional>
#include <map>

#include "core/graph/passes.hpp"

namespace graft::core {
namespace {

/// Whether a forward node's outputs are made again instead of kept.
bool dropped(const Node& node, Recompute policy) {
  if (node.direction == Direction::kBackward || node.layer < 0) return false;
  if (node.op->written_from >= 0) return false;
  return policy == Recompute::kBlock || node.op->traits.cheap;
}

}  // namespace

void recompute(Graph& graph, Recompute policy) {
  if (policy == Recompute::kNothing) return;
  std::vector<Node> nodes;
  nodes.swap(graph.nodes);
  std::vector<std::int64_t> producer(graph.values.size(), -1);
  std::vector<bool> crosses(graph.values.size(), false);  // read by another layer going forward
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const ValueId id : nodes[i].out)
      producer[static_cast<std::size_t>(id)] = static_cast<std::int64_t>(i);
    if (nodes[i].direction == Direction::kBackward) continue;
    for (const ValueId id : nodes[i].in) {
      const std::int64_t p = producer[static_cast<std::size_t>(id)];
      if (p >= 0 && nodes[static_cast<std::size_t>(p)].layer != nodes[i].layer) {
        crosses[static_cast<std::size_t>(id)] = true;
      }
    }
  }

  std::map<ValueId, ValueId> again;  // forward value -> its second making
  // Returns the value that a backward op should read in place of `id`.
  const std::function<ValueId(ValueId)> remake = [&](ValueId id) -> ValueId {
    const auto at = static_cast<std::size_t>(id);
    if (at >= producer.size() || producer[at] < 0 || crosses[at]) return id;
    const auto found = again.find(id);
    if (found != again.end()) return found->second;
    const Node& original = nodes[static_cast<std::size_t>(producer[at])];
    if (!dropped(original, policy)) return id;
    Node copy = original;
    for (ValueId& in : copy.in) in = remake(in);
    // A view of something kept is no work and no memory: use it as it is.
    if (copy.op->lowering == Lowering::kView && copy.in == original.in) return id;
    copy.direction = Direction::kBackward;
    for (ValueId& out : copy.out) {
      graph.values.push_back(graph[out]);
      const auto second = static_cast<ValueId>(graph.values.size() - 1);
      again[out] = second;
      out = second;
    }
    graph.nodes.push_back(std::move(copy));
    return again.at(id);
  };

  for (Node& node : nodes) {
    if (node.direction == Direction::kBackward) {
      Node changed = node;
      for (ValueId& id : changed.in) id = remake(id);
      graph.nodes.push_back(std::move(changed));
    } else {
      graph.nodes.push_back(node);
    }
  }
}

}  // namespace graft::core
