// Ops that only look at a tensor in another way, and those that build one: reshape, permute, expand,
// slice, concat, fill, reduce_sum.
#include <algorithm>

#include "core/base/error.hpp"
#include "core/graph/recorder.hpp"
#include "core/graph/shape_rules.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

using Grads = std::vector<ValueId>;
using Span = std::span<const ValueId>;

std::vector<TypeShape> infer_reshape(const InferArgs& a) {
  for (const Bindings& probe : kProbes) {
    if (count(a.in[0].shape, probe) != count(a.params.shape, probe)) {
      a.refuse(cat("cannot reshape to ", to_string(a.params.shape),
                   ": the number of elements differs."));
    }
  }
  return {{a.in[0].dtype, a.params.shape}};
}

Grads derive_reshape(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  return {r.reshape(d[0], r.shape(n.in[0]))};
}

std::vector<TypeShape> infer_permute(const InferArgs& a) {
  const Shape& x = a.in[0].shape;
  Shape y;
  std::vector<bool> seen(x.size(), false);
  for (const std::int32_t axis : a.params.axes) {
    const auto at = static_cast<std::size_t>(axis);
    require(a, axis >= 0 && at < x.size() && !seen[at], "axes must be a permutation.");
    seen[at] = true;
    y.push_back(x[at]);
  }
  require(a, y.size() == x.size(), "axes must name every axis once.");
  return {{a.in[0].dtype, y}};
}

Grads derive_permute(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  std::vector<std::int32_t> inverse(n.params.axes.size());
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    inverse[static_cast<std::size_t>(n.params.axes[i])] = static_cast<std::int32_t>(i);
  }
  return {r.permute(d[0], inverse)};
}

std::vector<TypeShape> infer_expand(const InferArgs& a) {
  const Shape &x = a.in[0].shape, &y = a.params.shape;
  require(a, y.size() >= x.size(), "expand cannot drop axes.");
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Extent &ex = x[x.size() - 1 - i], &ey = y[y.size() - 1 - i];
    if (!(ex == ey) && !is_one(ex)) {
      a.refuse(cat("cannot expand to ", to_string(y), ": only extents of 1 expand."));
    }
  }
  return {{a.in[0].dtype, y}};
}

Grads derive_expand(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  return {r.reduce_to(d[0], r.shape(n.in[0]))};
}

std::vector<TypeShape> infer_slice(const InferArgs& a) {
  Shape y = a.in[0].shape;
  const auto axis = static_cast<std::size_t>(attr(a.params, "axis").i);
  const std::int64_t from = attr(a.params, "from").i, to = attr(a.params, "to").i;
  require(a, axis < y.size(), "the axis does not exist.");
  require(a, y[axis].fixed(), "an axis whose extent varies from run to run cannot be sliced.");
  if (from < 0 || to < from || to > y[axis].constant) {
    a.refuse(cat("the range [", from, ", ", to, ") is outside of axis ", axis, "."));
  }
  y[axis] = to - from;
  return {{a.in[0].dtype, y}};
}

// The gradient of what was cut off is 0.
Grads derive_slice(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  const auto axis = static_cast<std::int32_t>(attr(n.params, "axis").i);
  const std::int64_t from = attr(n.params, "from").i, to = attr(n.params, "to").i;
  Shape pad = r.shape(n.in[0]);
  const std::int64_t whole = pad[static_cast<std::size_t>(axis)].constant;
  std::vector<ValueId> parts;
  const auto zeros = [&](std::int64_t width) {
    if (width == 0) return;
    pad[static_cast<std::size_t>(axis)] = width;
    parts.push_back(r.fill(r.dtype(d[0]), pad, 0));
  };
  zeros(from);
  parts.push_back(d[0]);
  zeros(whole - to);
  return {r.concat(parts, axis)};
}

std::vector<TypeShape> infer_concat(const InferArgs& a) {
  require_same_dtype(a, 0, a.in.size());
  const auto axis = static_cast<std::size_t>(attr(a.params, "axis").i);
  Shape y = a.in[0].shape;
  require(a, axis < y.size(), "the axis does not exist.");
  for (std::size_t i = 0; i < a.in.size(); ++i) {
    const Shape& x = a.in[i].shape;
    require(a, x.size() == y.size(), "all parts need the same number of axes.");
    require(a, x[axis].fixed(), "parts whose extent varies from run to run cannot be joined.");
    for (std::size_t k = 0; k < y.size(); ++k) {
      require(a, k == axis || x[k] == y[k], "parts may differ along the joined axis only.");
    }
    if (i > 0) y[axis] = y[axis] + x[axis];
  }
  return {{a.in[0].dtype, y}};
}

Grads derive_concat(Recorder& r, const Node& n, Span d, const std::vector<bool>& wanted) {
  const auto axis = static_cast<std::int32_t>(attr(n.params, "axis").i);
  Grads g(n.in.size(), kNone);
  std::int64_t from = 0;
  for (std::size_t i = 0; i < n.in.size(); ++i) {
    const std::int64_t width = r.shape(n.in[i])[static_cast<std::size_t>(axis)].constant;
    if (wanted[i]) g[i] = r.slice(d[0], axis, from, from + width);
    from += width;
  }
  return g;
}

std::vector<TypeShape> infer_fill(const InferArgs& a) {
  return {{static_cast<std::uint32_t>(attr(a.params, "dtype").i), a.params.shape}};
}

std::vector<TypeShape> infer_reduce_sum(const InferArgs& a) {
  const Shape &x = a.in[0].shape, &y = a.params.shape;
  require(a, x.size() == y.size(), "the reduced shape needs as many axes.");
  for (std::size_t i = 0; i < x.size(); ++i) {
    require(a, x[i] == y[i] || is_one(y[i]), "an axis is kept or summed to 1.");
  }
  const auto wanted = static_cast<std::uint32_t>(attr(a.params, "dtype").i);
  const std::uint32_t dtype = wanted ? wanted : a.in[0].dtype;
  require(a, dtype == a.in[0].dtype || dtype == GRAFT_F32, "the sum has x's dtype or f32.");
  return {{dtype, y}};
}

Grads derive_reduce_sum(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  return {r.expand(r.cast(d[0], r.dtype(n.in[0])), r.shape(n.in[0]))};
}

OpDef view(std::string_view name, decltype(OpDef::infer) infer, decltype(OpDef::derive) derive) {
  OpDef op;
  op.name = name;
  op.lowering = Lowering::kView;
  op.traits.cheap = op.traits.tiles = true;
  op.infer = infer;
  op.derive = derive;
  return op;
}

}  // namespace

std::vector<OpDef> shape_ops() {
  std::vector<OpDef> ops = {view("reshape", infer_reshape, derive_reshape),
                            view("permute", infer_permute, derive_permute),
                            view("expand", infer_expand, derive_expand),
                            view("slice", infer_slice, derive_slice)};
  ops.back().attrs = {{"axis", false, 0, true}, {"from", false, 0, true}, {"to", false, 0, true}};

  OpDef concat;
  concat.name = "concat";
  concat.lowering = Lowering::kConcat;
  concat.kernel = "copy/1";
  concat.attrs = {{"axis", false, 0, true}};
  concat.max_inputs = 64;
  concat.traits = {.in_place_input = -1, .accumulates = false, .cheap = true, .tiles = true};
  concat.infer = infer_concat;
  concat.derive = derive_concat;
  ops.push_back(concat);

  OpDef fill;
  fill.name = "fill";
  fill.kernel = "fill/1";
  fill.attrs = {{"dtype", false, 0, true}, {"value", true, 0}};
  fill.min_inputs = fill.max_inputs = 0;
  fill.traits.cheap = fill.traits.tiles = true;
  fill.infer = infer_fill;
  ops.push_back(fill);

  OpDef reduce;
  reduce.name = "reduce_sum";
  reduce.kernel = "reduce_sum/1";
  reduce.attrs = {{"dtype", false, 0}};
  reduce.traits.accumulates = reduce.traits.tiles = true;
  reduce.infer = infer_reduce_sum;
  reduce.derive = derive_reduce_sum;
  ops.push_back(reduce);
  return ops;
}

}  // namespace graft::core
