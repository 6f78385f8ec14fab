#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "core/graph/passes.hpp"

namespace graft::core {
namespace {

/// Whether a forward node's outputs are made again instead of kept.
bool dropped(const Node& node, Recompute policy) {
  if (node.direction == Direction::kBackward || node.layer < 0) return false;
  if (node.op->written_from >= 0) return false;
  return policy == Recompute::kBlock || node.op->traits.cheap;
}

/// Which forward ops are made again in the backward pass, by index.
std::vector<bool> made_again(const std::vector<Node>& nodes,
                             const std::vector<std::int64_t>& producer,
                             const std::vector<bool>& crosses, Recompute policy) {
  std::vector<bool> again(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) again[i] = dropped(nodes[i], policy);
  if (policy != Recompute::kLean) return again;
  const auto maker = [&](ValueId id) {  // -1: a leaf, or of the backward pass
    const auto at = static_cast<std::size_t>(id);
    const std::int64_t p = at < producer.size() ? producer[at] : -1;
    const bool forward =
        p >= 0 && nodes[static_cast<std::size_t>(p)].direction == Direction::kForward;
    return forward ? p : std::int64_t{-1};
  };
  const auto stays = [&](ValueId id) {
    return crosses[static_cast<std::size_t>(id)] || !again[static_cast<std::size_t>(maker(id))];
  };
  // What is there in the backward pass: what it reads, or what that is made from.
  std::vector<bool> there(producer.size(), false), seen(producer.size(), false);
  std::vector<ValueId> left;
  for (const Node& node : nodes) {
    if (node.direction == Direction::kBackward)
      left.insert(left.end(), node.in.begin(), node.in.end());
  }
  while (!left.empty()) {
    const ValueId id = left.back();
    left.pop_back();
    if (maker(id) < 0 || seen[static_cast<std::size_t>(id)]) continue;
    seen[static_cast<std::size_t>(id)] = true;
    if (stays(id)) {
      there[static_cast<std::size_t>(id)] = true;
      continue;
    }
    const Node& node = nodes[static_cast<std::size_t>(maker(id))];
    left.insert(left.end(), node.in.begin(), node.in.end());
  }
  // Sums are kept rather than made again, as that would keep two tensors for one; unless both are
  // kept anyway.
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = nodes[i];
    if (node.direction == Direction::kBackward) continue;
    const bool all = std::all_of(node.in.begin(), node.in.end(), [&](ValueId id) {
      return maker(id) < 0 || there[static_cast<std::size_t>(id)];
    });
    const bool sum = node.layer >= 0 && node.op->name == "add";
    if (sum && !crosses[static_cast<std::size_t>(node.out[0])]) again[i] = all;
    if (!again[i]) continue;
    for (const ValueId id : node.out) {
      const auto at = static_cast<std::size_t>(id);
      if (!crosses[at]) there[at] = all;
    }
  }
  return again;
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

  const std::vector<bool> remade = made_again(nodes, producer, crosses, policy);
  std::map<ValueId, ValueId> again;  // forward value -> its second making
  // Returns the value that a backward op should read in place of `id`.
  const std::function<ValueId(ValueId)> remake = [&](ValueId id) -> ValueId {
    const auto at = static_cast<std::size_t>(id);
    if (at >= producer.size() || producer[at] < 0 || crosses[at]) return id;
    const auto found = again.find(id);
    if (found != again.end()) return found->second;
    const Node& original = nodes[static_cast<std::size_t>(producer[at])];
    if (!remade[static_cast<std::size_t>(producer[at])]) return id;
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
