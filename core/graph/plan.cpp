#include "core/graph/plan.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include "core/base/error.hpp"
#include "core/graph/kernel_args.hpp"
#include "core/graph/layout.hpp"
#include "core/graph/node_cost.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

constexpr std::uint64_t kAlign = 256;
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + kAlign - 1) / kAlign * kAlign;
}

/// When a root's memory is in use, by call.
struct Lifetime {
  std::int64_t first = kNever, last = -1;
  std::uint64_t bytes = 0;
};

class Planner {
 public:
  Planner(Plan& plan, const Device& device) : p_(plan), g_(plan.graph), device_(device) {}

  void run(const TiledRegion& region) {
    find_views();
    make_calls(region);
    share_memory();
    find_lifetimes();
    place();
    ask_workspace();
    count_flops();
  }

 private:
  static std::size_t at(ValueId id) { return static_cast<std::size_t>(id); }
  ValueId root(ValueId id) const {
    while (p_.root[at(id)] != id) id = p_.root[at(id)];
    return id;
  }
  bool tiled(std::int64_t call) const { return call >= p_.tiled_begin && call < p_.tiled_end; }

  void find_views() {
    const std::size_t n = g_.values.size();
    p_.view.assign(n, -1);
    p_.home.assign(n, {});
    p_.root.resize(n);
    for (std::size_t i = 0; i < n; ++i) p_.root[i] = static_cast<ValueId>(i);
    for (std::size_t i = 0; i < g_.nodes.size(); ++i) {
      const Node& node = g_.nodes[i];
      if (node.op->lowering != Lowering::kView) continue;
      p_.view[at(node.out[0])] = static_cast<std::int64_t>(i);
      p_.root[at(node.out[0])] = node.in[0];
    }
  }

  void make_calls(const TiledRegion& region) {
    p_.tiled_begin = p_.tiled_end = -1;
    for (std::size_t i = 0; i < g_.nodes.size(); ++i) {
      const auto index = static_cast<std::int64_t>(i);
      if (index == region.begin) p_.tiled_begin = static_cast<std::int64_t>(p_.calls.size());
      if (index == region.end) p_.tiled_end = static_cast<std::int64_t>(p_.calls.size());
      const Node& node = g_.nodes[i];
      if (node.op->lowering == Lowering::kView) continue;
      Call call;
      call.node = index;
      call.kernel = device_.kernel(node.op->kernel);
      if (!call.kernel) {
        throw Error(GRAFT_E_INVALID,
                    cat("backend '", device_.name(), "' has no kernel '", node.op->kernel,
                        "', which ", node.op->name, " at '", node.site, "' needs."));
      }
      Operands o = operands(node);
      call.in = std::move(o.in);
      call.out = std::move(o.out);
      const bool in_region = index >= region.begin && index < region.end;
      call.zero_first = in_region && node.onto == kNone && !call.out.empty() &&
                        !has_symbol(g_[call.out[0]].shape, Symbol::kSupervised);
      const bool assigns = node.op->name == "assign" && attr(node.params, "accumulate").i == 1;
      call.attrs = kernel_attrs(node, assigns || call.zero_first || node.onto != kNone);
      p_.calls.push_back(std::move(call));
    }
    const auto end = static_cast<std::int64_t>(p_.calls.size());
    if (p_.tiled_begin < 0) p_.tiled_begin = end;
    if (p_.tiled_end < 0) p_.tiled_end = end;
  }

  /// The last call that touches a root.
  std::vector<std::int64_t> last_touch() const {
    std::vector<std::int64_t> last(g_.values.size(), -1);
    for (std::size_t c = 0; c < p_.calls.size(); ++c) {
      for (const auto* list : {&p_.calls[c].in, &p_.calls[c].out}) {
        for (const ValueId id : *list) last[at(root(id))] = static_cast<std::int64_t>(c);
      }
      const ValueId onto = g_.nodes[static_cast<std::size_t>(p_.calls[c].node)].onto;
      if (onto != kNone) last[at(root(onto))] = static_cast<std::int64_t>(c);
    }
    for (const ValueId id : g_.results) last[at(root(id))] = kNever;
    return last;
  }

  /// Whether `id` looks at all of its root's elements in their order.
  bool whole(ValueId id) const {
    const Layout l = evaluate(id, p_.options.bounds);
    return l.dense() && l.offset == 0 && l.count() == count(g_[root(id)].shape, p_.options.bounds);
  }

  Layout evaluate(ValueId id, const Bindings& b) const {
    const std::int64_t view = p_.view[at(id)];
    if (view < 0) return dense_layout(g_[id].shape, b);
    const Node& node = g_.nodes[static_cast<std::size_t>(view)];
    const auto l = view_layout(node, evaluate(node.in[0], b), g_[id].shape, b);
    if (!l) throw Error(GRAFT_E_INTERNAL, cat("reshape at '", node.site, "' needs a copy."));
    return *l;
  }

  /// Outputs that take over the memory of an input that dies with the call.
  void share_memory() {
    const std::vector<std::int64_t> last = last_touch();
    for (std::size_t c = 0; c < p_.calls.size(); ++c) {
      const Call& call = p_.calls[c];
      const Node& node = g_.nodes[static_cast<std::size_t>(call.node)];
      if (node.out.empty()) continue;
      if (node.onto != kNone) {
        const ValueId r = root(node.onto), y = node.out[0];
        p_.root[at(y)] = node.onto;
        alias_last_[r] = std::max(last_of(last, r), last[at(y)]);
        continue;
      }
      if (node.op->traits.in_place_input < 0) continue;
      const std::size_t tries = node.op->traits.broadcasts ? 2 : 1;
      for (std::size_t k = 0; k < tries; ++k) {
        const ValueId x = node.in[k], r = root(x), y = node.out[0];
        const bool dies = last_of(last, r) == static_cast<std::int64_t>(c);
        if (g_[r].role != Role::kComputed || !dies || g_[x].dtype != g_[y].dtype) continue;
        if (!(g_[x].shape == g_[y].shape) || !whole(x)) continue;
        if (reads_elsewhere(call, k, r) || !same_region(r, static_cast<std::int64_t>(c))) continue;
        p_.root[at(y)] = r;
        alias_last_[r] = std::max(last_of(last, r), last[at(y)]);
        break;
      }
    }
  }

  std::int64_t last_of(const std::vector<std::int64_t>& last, ValueId r) const {
    const auto found = alias_last_.find(r);
    return std::max(last[at(r)], found == alias_last_.end() ? -1 : found->second);
  }

  bool reads_elsewhere(const Call& call, std::size_t input, ValueId r) const {
    for (std::size_t i = 0; i < call.in.size(); ++i) {
      if (i != input && root(call.in[i]) == r) return true;
    }
    return false;
  }

  /// A tile must not overwrite what the next tile reads, nor the other way round.
  bool same_region(ValueId r, std::int64_t c) {
    if (first_touch_.empty()) {
      first_touch_.assign(g_.values.size(), kNever);
      for (std::size_t i = p_.calls.size(); i-- > 0;) {
        for (const auto* list : {&p_.calls[i].in, &p_.calls[i].out}) {
          for (const ValueId id : *list) first_touch_[at(root(id))] = static_cast<std::int64_t>(i);
        }
      }
    }
    return tiled(first_touch_[at(r)]) == tiled(c);
  }

  void find_lifetimes() {
    life_.assign(g_.values.size(), {});
    for (std::size_t c = 0; c < p_.calls.size(); ++c) {
      for (const auto* list : {&p_.calls[c].in, &p_.calls[c].out}) {
        for (const ValueId id : *list) {
          Lifetime& l = life_[at(root(id))];
          l.first = std::min(l.first, static_cast<std::int64_t>(c));
          l.last = std::max(l.last, static_cast<std::int64_t>(c));
        }
      }
    }
    const auto end = static_cast<std::int64_t>(p_.calls.size());
    for (const ValueId id : g_.results) life_[at(root(id))].last = end;
    std::vector<bool> zeroed(g_.values.size(), false);
    for (const Call& call : p_.calls) {
      if (call.zero_first) zeroed[at(root(call.out[0]))] = true;
    }
    for (std::size_t i = 0; i < life_.size(); ++i) {
      Lifetime& l = life_[i];
      if (l.last < 0 || g_.values[i].role != Role::kComputed) continue;
      if (p_.tiled_begin == p_.tiled_end) continue;
      const bool inside = tiled(l.first) && tiled(std::min(l.last, end - 1)) && l.last < end;
      const bool overlaps = l.first < p_.tiled_end && l.last >= p_.tiled_begin;
      if (inside && !zeroed[i]) {
        p_.home[i].inner = true;
      } else if (overlaps) {  // alive during every tile
        l.first = std::min(l.first, p_.tiled_begin);
        l.last = std::max(l.last, p_.tiled_end - 1);
      }
    }
  }

  Bindings tile_bounds() const {
    Bindings b = p_.options.bounds;
    if (p_.tiled_begin != p_.tiled_end && p_.options.tile_rows > 0) {
      b[Symbol::kSupervised] = std::min(b[Symbol::kSupervised], p_.options.tile_rows);
    }
    return b;
  }

  /// Gives every root a place: the largest first, each at the lowest offset that is free during its
  /// lifetime.
  void place() {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < life_.size(); ++i) {
      const auto id = static_cast<ValueId>(i);
      Home& home = p_.home[i];
      const Value& v = g_[id];
      if (v.role != Role::kComputed) {
        home.kind = v.role == Role::kParameter ? Home::Kind::kParameter
                    : v.role == Role::kWeight  ? Home::Kind::kWeight
                    : v.role == Role::kInput   ? Home::Kind::kInput
                                               : Home::Kind::kBuffer;
        home.slot = v.slot;
        if (v.role == Role::kInput) {
          home.offset = p_.input_bytes;
          p_.input_bytes += aligned(bytes_of(id, p_.options.bounds));
        }
        continue;
      }
      if (root(id) != id || life_[i].last < 0) continue;
      home.kind = Home::Kind::kArena;
      life_[i].bytes = aligned(bytes_of(id, home.inner ? tile_bounds() : p_.options.bounds));
      order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return life_[a].bytes > life_[b].bytes; });
    std::vector<std::size_t> placed;  // ordered by offset
    for (const std::size_t i : order) {
      std::uint64_t offset = 0;
      for (const std::size_t k : placed) {
        const bool together = life_[k].first <= life_[i].last && life_[i].first <= life_[k].last;
        if (!together) continue;
        if (offset + life_[i].bytes <= p_.home[k].offset) break;
        offset = std::max(offset, p_.home[k].offset + life_[k].bytes);
      }
      p_.home[i].offset = offset;
      p_.arena_bytes = std::max(p_.arena_bytes, offset + life_[i].bytes);
      const auto spot =
          std::upper_bound(placed.begin(), placed.end(), offset,
                           [&](std::uint64_t o, std::size_t k) { return o < p_.home[k].offset; });
      placed.insert(spot, i);
    }
    name_holders(order);
  }

  std::uint64_t bytes_of(ValueId id, const Bindings& b) const {
    return static_cast<std::uint64_t>(count(g_[id].shape, b)) * dtype_size(g_[id].dtype);
  }

  /// What lives when the arena is fullest, added up by name.
  void name_holders(const std::vector<std::size_t>& roots) {
    std::map<std::int64_t, std::int64_t> change;
    for (const std::size_t i : roots) {
      change[life_[i].first] += static_cast<std::int64_t>(life_[i].bytes);
      change[life_[i].last + 1] -= static_cast<std::int64_t>(life_[i].bytes);
    }
    std::int64_t now = 0, most = 0, when = 0;
    for (const auto& [call, delta] : change) {
      now += delta;
      if (now > most) most = now, when = call;
    }
    std::map<std::string, std::uint64_t> by_name;
    for (const std::size_t i : roots) {
      if (life_[i].first <= when && when <= life_[i].last) {
        by_name[general_name(g_.values[i].name)] += life_[i].bytes;
      }
    }
    for (const auto& [name, bytes] : by_name) p_.holders.push_back({name, bytes});
    std::stable_sort(p_.holders.begin(), p_.holders.end(),
                     [](const Holder& a, const Holder& b) { return a.bytes > b.bytes; });
  }

  /// "model.layers.3.mlp" -> "model.layers.*.mlp".
  static std::string general_name(const std::string& name) {
    std::string out;
    for (std::size_t i = 0; i < name.size(); ++i) {
      const bool digit = name[i] >= '0' && name[i] <= '9';
      const bool starts = digit && (i == 0 || name[i - 1] == '.');
      if (!starts) {
        out += name[i];
        continue;
      }
      while (i + 1 < name.size() && name[i + 1] >= '0' && name[i + 1] <= '9') ++i;
      out += '*';
    }
    return out.empty() ? "other" : out;
  }

  void ask_workspace() {
    for (std::size_t c = 0; c < p_.calls.size(); ++c) {
      const Call& call = p_.calls[c];
      if (!call.kernel->workspace) continue;
      const Bindings b = tiled(static_cast<std::int64_t>(c)) ? tile_bounds() : p_.options.bounds;
      const Node& node = g_.nodes[static_cast<std::size_t>(call.node)];
      const KernelArgs args(
          g_, node, [&](ValueId id) { return evaluate(id, b); },
          call.zero_first || node.onto != kNone);
      p_.workspace_bytes =
          std::max(p_.workspace_bytes, call.kernel->workspace(device_.handle(), args.get()));
    }
    p_.workspace_bytes = aligned(p_.workspace_bytes);
  }

  void count_flops() {
    const Bindings& b = p_.options.bounds;
    for (const Call& call : p_.calls) {
      const Node& node = g_.nodes[static_cast<std::size_t>(call.node)];
      const KernelArgs args(g_, node, [&](ValueId id) { return evaluate(id, b); });
      p_.flops += cost_of(node, *args.get(), b).flops;
    }
  }

  Plan& p_;
  Graph& g_;
  const Device& device_;
  std::vector<Lifetime> life_;
  std::vector<std::int64_t> first_touch_;
  std::map<ValueId, std::int64_t> alias_last_;
};

}  // namespace

Plan make_plan(Recorder& recorder, const Device& device, const PlanOptions& options) {
  Plan plan;
  plan.options = options;
  Graph& graph = recorder.graph();
  plan.forward_ops = count_ops(graph, Direction::kForward);
  plan.backward_ops = count_ops(graph, Direction::kBackward);
  legalize(recorder, device, options.bounds, plan.decomposed);
  std::sort(plan.decomposed.begin(), plan.decomposed.end());
  plan.decomposed.erase(std::unique(plan.decomposed.begin(), plan.decomposed.end()),
                        plan.decomposed.end());
  recompute(graph, options.recompute);
  fuse(graph);
  const TiledRegion region = options.tile_rows > 0 ? gather_tiled(graph) : TiledRegion{};
  plan.graph = std::move(graph);
  Planner(plan, device).run(region);
  return plan;
}

}  // namespace graft::core
