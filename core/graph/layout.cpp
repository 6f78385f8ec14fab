#include "core/graph/layout.hpp"

#include "core/base/error.hpp"
#include "core/graph/op.hpp"

namespace graft::core {
namespace {

/// Strides that walk `in`'s elements in row-major order under `out`'s shape, if there are any.
std::optional<Layout> reshaped(const Layout& in, Layout out) {
  if (in.count() == 0) return out;
  std::array<std::int64_t, kMaxAxes> size{}, step{};  // the axes of `in` that are not 1
  int i = 0;
  for (int k = 0; k < in.axes; ++k) {
    const auto at = static_cast<std::size_t>(k);
    if (in.shape[at] == 1) continue;
    size[static_cast<std::size_t>(i)] = in.shape[at];
    step[static_cast<std::size_t>(i++)] = in.stride[at];
  }
  // From the last axis on: groups of axes of both sides with equal products. Within a group `in`
  // must be dense.
  std::int64_t have = 1, stride = 1;  // elements of the group not yet given to `out`; next stride
  for (int o = out.axes - 1; o >= 0; --o) {
    const auto at = static_cast<std::size_t>(o);
    if (have == 1 && i > 0 && out.shape[at] != 1) {
      --i;
      have = size[static_cast<std::size_t>(i)];
      stride = step[static_cast<std::size_t>(i)];
    }
    while (have % out.shape[at] != 0) {
      if (--i < 0 || step[static_cast<std::size_t>(i)] != stride * have) return std::nullopt;
      have *= size[static_cast<std::size_t>(i)];
    }
    out.stride[at] = stride;
    stride *= out.shape[at];
    have /= out.shape[at];
  }
  return out;
}

}  // namespace

std::int64_t Layout::count() const {
  std::int64_t n = 1;
  for (int i = 0; i < axes; ++i) n *= shape[static_cast<std::size_t>(i)];
  return n;
}

bool Layout::dense() const {
  std::int64_t expected = 1;
  for (int i = axes - 1; i >= 0; --i) {
    const auto at = static_cast<std::size_t>(i);
    if (shape[at] != 1 && stride[at] != expected) return false;
    expected *= shape[at];
  }
  return true;
}

Layout dense_layout(const Shape& shape, const Bindings& b) {
  if (shape.size() > kMaxAxes) {
    throw Error(GRAFT_E_INVALID, cat("a tensor ", to_string(shape), " has more than 8 axes."));
  }
  Layout l;
  l.axes = static_cast<int>(shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    l.shape[i] = shape[i].at(b);
    l.stride[i] = stride;
    stride *= l.shape[i];
  }
  return l;
}

std::optional<Layout> view_layout(const Node& view, const Layout& input, const Shape& shape,
                                  const Bindings& b) {
  Layout out = dense_layout(shape, b);
  out.offset = input.offset;
  const std::string_view op = view.op->name;
  if (op == "reshape") return reshaped(input, out);
  if (op == "detach") return input;
  if (op == "permute") {
    for (std::size_t i = 0; i < view.params.axes.size(); ++i) {
      out.stride[i] = input.stride[static_cast<std::size_t>(view.params.axes[i])];
    }
    return out;
  }
  if (op == "expand") {
    const int lead = out.axes - input.axes;
    for (int i = 0; i < out.axes; ++i) {
      const auto o = static_cast<std::size_t>(i);
      const auto from = static_cast<std::size_t>(i - lead);
      const bool repeated = i < lead || (input.shape[from] == 1 && out.shape[o] != 1);
      out.stride[o] = repeated ? 0 : input.stride[from];
    }
    return out;
  }
  if (op == "slice") {
    const auto axis = static_cast<std::size_t>(attr(view.params, "axis").i);
    out.stride = input.stride;
    out.offset += attr(view.params, "from").i * input.stride[axis];
    return out;
  }
  if (op == "take_rows") {
    out.stride = input.stride;
    out.offset += view.params.shape[0].at(b) * input.stride[0];
    return out;
  }
  throw Error(GRAFT_E_INTERNAL, cat("'", op, "' is not a view."));
}

}  // namespace graft::core
