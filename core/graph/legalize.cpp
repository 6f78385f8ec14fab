#include <map>
#include <optional>
#include <tuple>

#include "core/base/error.hpp"
#include "core/graph/kernel_args.hpp"
#include "core/graph/layout.hpp"
#include "core/graph/passes.hpp"

namespace graft::core {
namespace {

constexpr const Bindings& kProbe = kProbes[0];

class Legalizer {
 public:
  Legalizer(Recorder& r, const Device& device, const Bindings& bounds,
            std::vector<std::string>& decomposed)
      : r_(r), device_(device), bounds_(bounds), decomposed_(decomposed) {}

  void run() {
    std::vector<Node> nodes;
    nodes.swap(r_.graph().nodes);
    for (Node& node : nodes) visit(std::move(node));
  }

 private:
  void emit(Node node) { r_.graph().nodes.push_back(std::move(node)); }

  const Layout& layout(ValueId id) {
    const auto at = static_cast<std::size_t>(id);
    if (at >= layouts_.size()) layouts_.resize(at + 1);
    if (!layouts_[at]) layouts_[at] = dense_layout(r_.shape(id), kProbe);
    return *layouts_[at];
  }
  void set_layout(ValueId id, const Layout& l) {
    layout(id);
    layouts_[static_cast<std::size_t>(id)] = l;
  }

  void visit(Node node) {
    for (std::size_t i = 0; i < node.in.size(); ++i) {
      if (r_.value(node.in[i]).quant && !reads_blocks(node, i)) node.in[i] = expanded(node, i);
    }
    switch (node.op->lowering) {
      case Lowering::kView:
        return visit_view(std::move(node));
      case Lowering::kConcat:
        return visit_concat(node);
      case Lowering::kSplit:
        return visit_split(node);
      case Lowering::kJoin:
        return visit_join(node);
      case Lowering::kComposite:
        if (!supported(node)) return visit_decomposed(node);
        return emit(std::move(node));
      case Lowering::kKernel:
        return emit(std::move(node));
    }
  }

  void visit_view(Node node) {
    const ValueId out = node.out[0];
    auto l = view_layout(node, layout(node.in[0]), r_.shape(out), kProbe);
    if (!l) {
      Value dense = r_.value(node.in[0]);
      dense.role = Role::kComputed;
      dense.trainable = false;
      r_.graph().values.push_back(dense);
      const auto copy = static_cast<ValueId>(r_.graph().values.size() - 1);
      emit_assign(node, node.in[0], copy);
      node.in[0] = copy;
      l = view_layout(node, layout(copy), r_.shape(out), kProbe);
    }
    set_layout(out, *l);
    emit(std::move(node));
  }

  void emit_assign(const Node& like, ValueId src, ValueId dst) {
    Node copy;
    copy.op = find_op("assign");
    copy.in = {src, dst};
    copy.params.attrs = {{"accumulate", 0, 0}};
    copy.direction = like.direction;
    copy.layer = like.layer;
    copy.site = like.site;
    emit(std::move(copy));
  }

  void visit_concat(const Node& node) {
    const auto axis = attr(node.params, "axis").i;
    std::int64_t from = 0;
    for (const ValueId part : node.in) {
      const std::int64_t to = from + r_.shape(part)[static_cast<std::size_t>(axis)].constant;
      Value piece;
      piece.dtype = r_.dtype(part);
      piece.shape = r_.shape(part);
      piece.name = node.site;
      r_.graph().values.push_back(piece);
      Node slice;
      slice.op = find_op("slice");
      slice.in = {node.out[0]};
      slice.out = {static_cast<ValueId>(r_.graph().values.size() - 1)};
      slice.params.attrs = {{"axis", axis, 0}, {"from", from, 0}, {"to", to, 0}};
      slice.direction = node.direction;
      slice.layer = node.layer;
      slice.site = node.site;
      const ValueId target = slice.out[0];
      visit_view(std::move(slice));
      emit_assign(node, part, target);
      from = to;
    }
  }

  /// A view of the rows of `whole` that follow `from`, as many as `rows` has.
  void emit_rows(const Node& like, ValueId whole, ValueId rows, Extent& from) {
    Node take;
    take.op = find_op("take_rows");
    take.in = {whole};
    take.out = {rows};
    take.params.shape = {from, r_.shape(rows)[0]};
    take.direction = like.direction;
    take.layer = like.layer;
    take.site = like.site;
    from = from + r_.shape(rows)[0];
    visit_view(std::move(take));
  }

  void visit_split(const Node& node) {
    Extent from = 0;
    for (const ValueId part : node.out) emit_rows(node, node.in[0], part, from);
  }

  void visit_join(const Node& node) {
    Extent from = 0;
    for (const ValueId part : node.in) {
      Value piece;
      piece.dtype = r_.dtype(part);
      piece.shape = r_.shape(part);
      piece.name = node.site;
      r_.graph().values.push_back(piece);
      const auto target = static_cast<ValueId>(r_.graph().values.size() - 1);
      emit_rows(node, node.out[0], target, from);
      emit_assign(node, part, target);
    }
  }

  /// Whether the node's kernel takes its input `i` in blocks.
  bool reads_blocks(const Node& node, std::size_t i) {
    const bool factor = node.op->name == "matmul" && i == 1 && r_.shape(node.out[0]).size() == 2;
    const bool table = node.op->name == "gather" && i == 0;
    if (!factor && !table) return node.op->name == "cast";
    const graft_kernel* kernel = device_.kernel(node.op->kernel);
    if (kernel && kernel->supports && supported(node)) return true;
    decomposed_.push_back(cat(node.op->kernel, " of ", r_.value(node.in[i]).quant->format));
    return false;
  }

  /// Input `i` of the node out of its blocks; once for all readers of a layer in one direction.
  ValueId expanded(const Node& node, std::size_t i) {
    const ValueId weight = node.in[i];
    const auto [found, fresh] =
        expanded_.try_emplace({weight, node.layer, static_cast<int>(node.direction)}, kNone);
    if (!fresh) return found->second;
    Value dense = r_.value(weight);
    dense.role = Role::kComputed;
    dense.quant = nullptr;
    r_.graph().values.push_back(dense);
    found->second = static_cast<ValueId>(r_.graph().values.size() - 1);
    Node cast;
    cast.op = find_op("cast");
    cast.in = {weight};
    cast.out = {found->second};
    cast.params.attrs = {{"dtype", static_cast<std::int64_t>(dense.dtype), 0}};
    cast.direction = node.direction;
    cast.layer = node.layer;
    cast.site = node.site;
    emit(std::move(cast));
    return found->second;
  }

  bool supported(const Node& node) {
    const graft_kernel* kernel = device_.kernel(node.op->kernel);
    if (!kernel) return false;
    if (!kernel->supports) return true;
    const KernelArgs args(r_.graph(), node,
                          [&](ValueId id) { return dense_layout(r_.shape(id), bounds_); });
    return kernel->supports(device_.handle(), args.get()) == GRAFT_OK;
  }

  /// The decomposition's results take the place of the composite's outputs.
  void visit_decomposed(const Node& node) {
    decomposed_.push_back(node.op->kernel);
    std::vector<Node> parts;
    r_.redirect(&parts);
    r_.at(node.site, node.layer);
    r_.direction(node.direction);
    const std::vector<ValueId> made = node.op->decompose(r_, node);
    r_.redirect(nullptr);
    for (Node& part : parts) {
      for (std::size_t k = 0; k < made.size(); ++k) {
        for (ValueId& id : part.out) id = id == made[k] ? node.out[k] : id;
        for (ValueId& id : part.in) id = id == made[k] ? node.out[k] : id;
      }
      visit(std::move(part));
    }
  }

  Recorder& r_;
  const Device& device_;
  const Bindings& bounds_;
  std::vector<std::string>& decomposed_;
  std::vector<std::optional<Layout>> layouts_;
  std::map<std::tuple<ValueId, std::int32_t, int>, ValueId> expanded_;
};

}  // namespace

void legalize(Recorder& recorder, const Device& device, const Bindings& bounds,
              std::vector<std::string>& decomposed) {
  Legalizer(recorder, device, bounds, decomposed).run();
}

}  // namespace graft::core
