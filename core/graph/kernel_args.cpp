#include "core/graph/kernel_args.hpp"

#include <cstring>

namespace graft::core {

Operands operands(const Node& node) {
  Operands o;
  const std::int32_t written = node.op->written_from;
  const auto border =
      node.in.begin() + (written < 0 ? static_cast<std::ptrdiff_t>(node.in.size()) : written);
  o.in.assign(node.in.begin(), border);
  o.out = node.out;
  o.out.insert(o.out.end(), border, node.in.end());
  return o;
}

graft_view make_view(const Value& value, const Layout& layout) {
  graft_view v{};
  v.device_type = 1;
  v.dtype = value.quant ? std::uint32_t{GRAFT_QUANT} : value.dtype;
  v.quant = value.quant.get();
  v.ndim = layout.axes;
  for (std::size_t i = 0; i < kMaxAxes; ++i) {
    v.shape[i] = layout.shape[i];
    v.stride[i] = layout.stride[i];
  }
  return v;
}

std::vector<graft_attr> kernel_attrs(const Node& node, bool accumulate) {
  std::vector<graft_attr> attrs;
  for (const Attr& a : node.params.attrs) {
    if (std::strcmp(a.name, "accumulate") != 0) attrs.push_back({a.name, nullptr, a.i, a.f});
  }
  if (accumulate) attrs.push_back({"accumulate", nullptr, 1, 0});
  return attrs;
}

namespace {

void swap_last_two(Layout& l) {
  const auto last = static_cast<std::size_t>(l.axes - 1);
  std::swap(l.shape[last], l.shape[last - 1]);
  std::swap(l.stride[last], l.stride[last - 1]);
}

/// `l` under the first `axes - kept` axes of `like`, repeated along what it lacks; the last `kept`
/// axes stay.
Layout broadcast_to(const Layout& l, const Layout& like, int kept) {
  Layout out = l;
  out.axes = like.axes;
  const int lead = like.axes - l.axes;
  for (int i = like.axes - 1; i >= 0; --i) {
    const auto to = static_cast<std::size_t>(i);
    const auto from = static_cast<std::size_t>(i - lead);
    const bool keep = i >= like.axes - kept;
    out.stride[to] = i < lead || (l.shape[from] == 1 && !keep) ? 0 : l.stride[from];
    out.shape[to] = keep ? l.shape[from] : like.shape[to];
  }
  return out;
}

}  // namespace

void kernel_layouts(const Node& node, std::vector<Layout>& in, const std::vector<Layout>& out) {
  if (node.op->traits.broadcasts) {
    for (Layout& l : in) l = broadcast_to(l, out[0], 0);
  }
  if (node.op->name == "matmul") {
    const std::int64_t flags = attr(node.params, "flags").i;
    if (flags & GRAFT_TRANS_A) swap_last_two(in[0]);
    if (flags & GRAFT_TRANS_B) swap_last_two(in[1]);
    for (std::size_t i = 0; i < 2; ++i) in[i] = broadcast_to(in[i], out[0], 2);
  }
}

KernelArgs::KernelArgs(const Graph& graph, const Node& node,
                       const std::function<Layout(ValueId)>& layout_of, bool accumulate)
    : attrs_(kernel_attrs(node, accumulate)) {
  const Operands o = operands(node);
  std::vector<Layout> in, out;
  for (const ValueId id : o.in) in.push_back(layout_of(id));
  for (const ValueId id : o.out) out.push_back(layout_of(id));
  kernel_layouts(node, in, out);
  for (std::size_t i = 0; i < in.size(); ++i) {
    in_.push_back(make_view(graph[o.in[i]], in[i]));
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    out_.push_back(make_view(graph[o.out[i]], out[i]));
  }
  args_.struct_size = sizeof args_;
  args_.n_in = static_cast<std::uint32_t>(in_.size());
  args_.n_out = static_cast<std::uint32_t>(out_.size());
  args_.n_attr = static_cast<std::uint32_t>(attrs_.size());
  args_.in = in_.data();
  args_.out = out_.data();
  args_.attr = attrs_.data();
}

}  // namespace graft::core
