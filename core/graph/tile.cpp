#include <algorithm>

#include "core/graph/passes.hpp"

namespace graft::core {
namespace {

bool touches(const Graph& graph, const Node& node) {
  const auto has = [&](ValueId id) { return has_symbol(graph[id].shape, Symbol::kSupervised); };
  return std::any_of(node.in.begin(), node.in.end(), has) ||
         std::any_of(node.out.begin(), node.out.end(), has);
}

/// Whether running the op on tiles of rows, one after another, is the same as running it once.
bool tiles(const Graph& graph, const Node& node) {
  if (!node.op->traits.tiles) return false;
  bool rows_out = node.out.empty();
  const auto plain = [&](ValueId id) {
    const Shape& shape = graph[id].shape;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (!shape[i].has(Symbol::kSupervised)) continue;
      if (!(shape[i] == Extent(Symbol::kSupervised))) return false;
      if (node.op->name != "matmul" && i != 0) return false;  // rows come first
    }
    return true;
  };
  for (const ValueId id : node.in) {
    if (!plain(id)) return false;
  }
  for (const ValueId id : node.out) {
    if (!plain(id)) return false;
    rows_out = rows_out || has_symbol(graph[id].shape, Symbol::kSupervised);
  }
  const std::string_view op = node.op->name;
  if (op == "gather" && has_symbol(graph[node.in[0]].shape, Symbol::kSupervised)) return false;
  if (op == "scatter_add" && rows_out) return false;
  return rows_out || node.op->traits.accumulates;  // a sum over rows adds up from tile to tile
}

enum class Part : std::uint8_t { kFree, kTiled, kAfter };

/// By value: the value whose memory it looks at.
std::vector<ValueId> roots(const Graph& graph) {
  std::vector<ValueId> root(graph.values.size());
  for (std::size_t i = 0; i < root.size(); ++i) root[i] = static_cast<ValueId>(i);
  for (const Node& node : graph.nodes) {
    if (node.op->lowering != Lowering::kView) continue;
    root[static_cast<std::size_t>(node.out[0])] = root[static_cast<std::size_t>(node.in[0])];
  }
  return root;
}

/// Whether a node up to `last` that adds to a value would come before a node that reads the value as
/// it was, or come before the reader's next tile.
bool overtakes(const Graph& graph, const std::vector<ValueId>& root, const std::vector<Part>& of,
               std::int64_t last) {
  for (std::size_t i = 0; static_cast<std::int64_t>(i) <= last; ++i) {
    if (graph.nodes[i].onto == kNone) continue;
    const ValueId onto = root[static_cast<std::size_t>(graph.nodes[i].onto)];
    if (graph[onto].role != Role::kComputed) continue;
    const bool rows = has_symbol(graph[onto].shape, Symbol::kSupervised);
    for (std::size_t k = 0; k < i; ++k) {
      const Node& reader = graph.nodes[k];
      if (reader.op->lowering == Lowering::kView || of[k] < of[i]) continue;
      if (of[k] == of[i] && (of[i] != Part::kTiled || rows)) continue;
      for (const ValueId id : reader.in) {
        if (root[static_cast<std::size_t>(id)] == onto) return true;
      }
    }
  }
  return false;
}

}  // namespace

bool has_symbol(const Shape& shape, Symbol s) {
  return std::any_of(shape.begin(), shape.end(), [&](const Extent& e) { return e.has(s); });
}

TiledRegion gather_tiled(Graph& graph) {
  std::vector<Part> of(graph.nodes.size(), Part::kFree);
  const std::vector<ValueId> root = roots(graph);
  std::vector<Part> value(graph.values.size(), Part::kFree);  // of roots
  std::int64_t first = -1, last = -1;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    const bool tiled = touches(graph, node);
    const auto reads = [&](ValueId id) {
      if (id == kNone) return Part::kFree;
      const Part p = value[static_cast<std::size_t>(root[static_cast<std::size_t>(id)])];
      // A sum over the rows is whole only after the last tile.
      const bool whole = has_symbol(graph[id].shape, Symbol::kSupervised);
      return p == Part::kTiled && !whole ? Part::kAfter : p;
    };
    Part deepest = reads(node.onto);
    for (const ValueId id : node.in) deepest = std::max(deepest, reads(id));
    if (tiled) {
      if (deepest == Part::kAfter || !tiles(graph, node)) return {};
      of[i] = Part::kTiled;
      first = first < 0 ? static_cast<std::int64_t>(i) : first;
      last = static_cast<std::int64_t>(i);
    } else {
      of[i] = deepest == Part::kFree ? Part::kFree : Part::kAfter;
    }
    const auto writes = [&](ValueId id) {
      Part& p = value[static_cast<std::size_t>(root[static_cast<std::size_t>(id)])];
      p = std::max(p, of[i]);
    };
    for (const ValueId id : node.out) writes(id);
    if (node.op->written_from < 0) continue;
    for (auto k = static_cast<std::size_t>(node.op->written_from); k < node.in.size(); ++k) {
      writes(node.in[k]);
    }
  }
  if (first < 0 || overtakes(graph, root, of, last)) return {};

  std::vector<Node> order;
  order.reserve(graph.nodes.size());
  const auto take = [&](std::int64_t from, std::int64_t to, auto&& wanted) {
    for (std::int64_t i = from; i < to; ++i) {
      if (wanted(of[static_cast<std::size_t>(i)])) {
        order.push_back(graph.nodes[static_cast<std::size_t>(i)]);
      }
    }
  };
  const auto end = static_cast<std::int64_t>(graph.nodes.size());
  take(0, first, [](Part) { return true; });
  take(first, last + 1, [](Part p) { return p == Part::kFree; });
  TiledRegion region;
  region.begin = static_cast<std::int64_t>(order.size());
  take(first, last + 1, [](Part p) { return p == Part::kTiled; });
  region.end = static_cast<std::int64_t>(order.size());
  take(first, last + 1, [](Part p) { return p == Part::kAfter; });
  take(last + 1, end, [](Part) { return true; });
  graph.nodes = std::move(order);
  return region;
}

}  // namespace graft::core
