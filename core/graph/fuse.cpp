#include <algorithm>

#include "core/graph/passes.hpp"

namespace graft::core {
namespace {

struct Uses {
  std::vector<std::int64_t> readers, last_reader, producer;
};

Uses uses_of(const Graph& graph) {
  Uses u;
  u.readers.assign(graph.values.size(), 0);
  u.last_reader.assign(graph.values.size(), -1);
  u.producer.assign(graph.values.size(), -1);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const ValueId id : graph.nodes[i].in) {
      ++u.readers[static_cast<std::size_t>(id)];
      u.last_reader[static_cast<std::size_t>(id)] = static_cast<std::int64_t>(i);
    }
    for (const ValueId id : graph.nodes[i].out) {
      u.producer[static_cast<std::size_t>(id)] = static_cast<std::int64_t>(i);
    }
  }
  for (const ValueId id : graph.results) ++u.readers[static_cast<std::size_t>(id)];
  return u;
}

/// The index of the op that makes `id` for `reader` alone and that could accumulate, or -1.
std::int64_t sole_accumulator(const Graph& graph, const Uses& u, ValueId id) {
  const std::int64_t p = u.producer[static_cast<std::size_t>(id)];
  if (p < 0 || u.readers[static_cast<std::size_t>(id)] != 1) return -1;
  const Node& node = graph.nodes[static_cast<std::size_t>(p)];
  return node.op->traits.accumulates && node.out.size() == 1 && node.onto == kNone ? p : -1;
}

/// Whether an op between two others reads or writes `id`.
bool touched(const Graph& graph, ValueId id, std::int64_t after, std::int64_t before) {
  for (std::int64_t i = after + 1; i < before; ++i) {
    const Node& node = graph.nodes[static_cast<std::size_t>(i)];
    if (node.onto == id || std::count(node.in.begin(), node.in.end(), id) > 0) return true;
  }
  return false;
}

}  // namespace

void fuse(Graph& graph) {
  const Uses u = uses_of(graph);
  std::vector<bool> removed(graph.nodes.size(), false);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    // dst += op(..) with a single reader: op accumulates onto dst.
    if (node.op->name == "assign" && attr(node.params, "accumulate").i == 1) {
      const std::int64_t p = sole_accumulator(graph, u, node.in[0]);
      if (p < 0 || touched(graph, node.in[1], p, static_cast<std::int64_t>(i))) continue;
      // There, not here: what it reads can go as soon as it is done.
      graph.nodes[static_cast<std::size_t>(p)].onto = node.in[1];
      removed[i] = true;
      continue;
    }
    // add(a, matmul(..)), a not read afterwards: the matmul accumulates onto a.
    if (node.op->name != "add") continue;
    for (std::size_t k = 0; k < 2; ++k) {
      const ValueId a = node.in[k], y = node.in[1 - k];
      const std::int64_t p = sole_accumulator(graph, u, y);
      if (p < 0 || graph.nodes[static_cast<std::size_t>(p)].op->name != "matmul") continue;
      const bool free = graph[a].role == Role::kComputed &&
                        u.producer[static_cast<std::size_t>(a)] >= 0 &&
                        u.last_reader[static_cast<std::size_t>(a)] == static_cast<std::int64_t>(i);
      const Node* maker =
          free ? &graph.nodes[static_cast<std::size_t>(u.producer[static_cast<std::size_t>(a)])]
               : nullptr;
      if (!maker || maker->op->lowering == Lowering::kView) continue;
      bool is_result = false;
      for (const ValueId r : graph.results) is_result = is_result || r == a;
      if (is_result || !(graph[a].shape == graph[y].shape) || graph[a].dtype != graph[y].dtype) {
        continue;
      }
      bool other_views = false;  // somebody else looks at a's memory through a view
      for (const Node& view : graph.nodes) {
        if (view.op->lowering == Lowering::kView && view.in[0] == a) other_views = true;
      }
      if (other_views) continue;
      Node made = graph.nodes[static_cast<std::size_t>(p)];
      made.out = node.out;
      made.onto = a;
      node = std::move(made);
      removed[static_cast<std::size_t>(p)] = true;
      break;
    }
  }
  std::vector<Node> kept;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!removed[i]) kept.push_back(std::move(graph.nodes[i]));
  }
  graph.nodes = std::move(kept);
}

}  // namespace graft::core
