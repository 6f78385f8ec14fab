// matmul: c = op(a) op(b) + bias, leading axes broadcast.
#include <graft/plugin.h>

#include <algorithm>

#include "core/base/error.hpp"
#include "core/graph/gradient_rules.hpp"
#include "core/graph/recorder.hpp"
#include "core/graph/shape_rules.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

std::vector<TypeShape> infer_matmul(const InferArgs& a) {
  require_same_dtype(a, 0, a.in.size());
  const std::int64_t flags = attr(a.params, "flags").i;
  const Shape &x = a.in[0].shape, &y = a.in[1].shape;
  require(a, x.size() >= 2 && y.size() >= 2, "both factors need two axes or more.");
  const auto end = [](const Shape& s, std::size_t i) { return s[s.size() - i]; };
  const Extent m = end(x, (flags & GRAFT_TRANS_A) ? 1 : 2);
  const Extent kx = end(x, (flags & GRAFT_TRANS_A) ? 2 : 1);
  const Extent ky = end(y, (flags & GRAFT_TRANS_B) ? 1 : 2);
  const Extent n = end(y, (flags & GRAFT_TRANS_B) ? 2 : 1);
  if (!(kx == ky)) {
    a.refuse(cat("the inner extents ", to_string(kx), " and ", to_string(ky), " differ."));
  }
  Shape shape = broadcast(a, Shape(x.begin(), x.end() - 2), Shape(y.begin(), y.end() - 2));
  if (a.in.size() == 3) {
    require(a, a.in[2].shape.size() == 1 && a.in[2].shape[0] == n,
            "the bias must have one number for each output column.");
  }
  shape.push_back(m);
  shape.push_back(n);
  const auto wanted = static_cast<std::uint32_t>(attr(a.params, "dtype").i);
  const std::uint32_t dtype = wanted ? wanted : a.in[0].dtype;
  require(a, dtype == a.in[0].dtype || dtype == GRAFT_F32,
          "the result has the factors' dtype or f32.");
  return {{dtype, shape}};
}

// c = alpha op(a) op(b) + bias:  d op(a) = alpha dc op(b)^T,  d op(b) = alpha op(a)^T dc,
// dbias = sum over rows of dc.
std::vector<ValueId> derive_matmul(Recorder& r, const Node& n, std::span<const ValueId> d,
                                   const std::vector<bool>& wanted) {
  const std::int64_t flags = attr(n.params, "flags").i;
  const bool ta = (flags & GRAFT_TRANS_A) != 0, tb = (flags & GRAFT_TRANS_B) != 0;
  const ValueId a = n.in[0], b = n.in[1];
  const ValueId dc = r.cast(d[0], r.dtype(a));
  const auto product = [&](ValueId x, ValueId y, bool tx, bool ty, ValueId like) {
    const std::uint32_t f = (tx ? 1u * GRAFT_TRANS_A : 0u) | (ty ? 1u * GRAFT_TRANS_B : 0u);
    const ValueId g = r.one("matmul", {x, y},
                            {{"flags", f, 0},
                             {"dtype", gradient_dtype(r, like), 0},
                             {"alpha", 0, attr(n.params, "alpha").f}});
    return r.reduce_to(g, r.shape(like));
  };
  std::vector<ValueId> g(n.in.size(), kNone);
  if (wanted[0]) g[0] = ta ? product(b, dc, tb, true, a) : product(dc, b, false, !tb, a);
  if (wanted[1]) g[1] = tb ? product(dc, a, true, ta, b) : product(a, dc, !ta, false, b);
  if (n.in.size() == 3 && wanted[2]) g[2] = reduce_gradient(r, dc, n.in[2]);
  return g;
}

}  // namespace

std::vector<OpDef> matmul_ops() {
  OpDef op;
  op.name = "matmul";
  op.kernel = "matmul/1";
  op.attrs = {{"flags", false, 0}, {"dtype", false, 0}, {"alpha", true, 1}};
  op.min_inputs = 2;
  op.max_inputs = 3;
  op.traits = {.in_place_input = -1, .accumulates = true, .cheap = false, .tiles = true};
  op.infer = infer_matmul;
  op.derive = derive_matmul;
  return {op};
}

}  // namespace graft::core
