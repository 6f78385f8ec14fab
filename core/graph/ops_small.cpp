// Ops on batches of small matrices: skew, unskew, inverse, orthonormal.
#include <graft/plugin.h>

#include "core/base/error.hpp"
#include "core/graph/recorder.hpp"
#include "core/graph/shape_rules.hpp"

namespace graft::core {
namespace {

using Grads = std::vector<ValueId>;
using Span = std::span<const ValueId>;

std::vector<TypeShape> infer_skew(const InferArgs& a) {
  require_rank(a, 0, 2, "x");
  const Extent packed = a.in[0].shape[1];
  std::int64_t b = 1;
  while (b * (b - 1) / 2 < packed.constant) ++b;
  require(a, packed == Extent(b * (b - 1) / 2), "x must be [n, b (b - 1) / 2] for some b.");
  return {{a.in[0].dtype, {a.in[0].shape[0], b, b}}};
}

std::vector<TypeShape> infer_square(const InferArgs& a) {
  require_rank(a, 0, 3, "x");
  const Shape& x = a.in[0].shape;
  require(a, x[1].fixed() && x[1] == x[2], "x must be [n, b, b].");
  return like_first(a);
}

std::vector<TypeShape> infer_unskew(const InferArgs& a) {
  infer_square(a);
  const std::int64_t b = a.in[0].shape[1].constant;
  return {{a.in[0].dtype, {a.in[0].shape[0], b * (b - 1) / 2}}};
}

std::vector<TypeShape> infer_orthonormal(const InferArgs& a) {
  require_rank(a, 0, 3, "x");
  const Shape& x = a.in[0].shape;
  require(a, x[1].fixed() && x[2].fixed() && x[2].constant <= x[1].constant,
          "x must be [n, a, b] with b <= a.");
  return like_first(a);
}

// y[i][j] = x, y[j][i] = -x:  dx = dy[i][j] - dy[j][i], and the other way round.
Grads derive_skew(Recorder& r, const Node&, Span d, const std::vector<bool>&) {
  return {r.one("unskew", {d[0]})};
}
Grads derive_unskew(Recorder& r, const Node&, Span d, const std::vector<bool>&) {
  return {r.one("skew", {d[0]})};
}

// y = (x + shift)^-1:  dx = -y^T dy y^T.
Grads derive_inverse(Recorder& r, const Node& n, Span d, const std::vector<bool>&) {
  const ValueId y = n.out[0];
  const ValueId left = r.matmul(y, d[0], GRAFT_TRANS_A);
  return {r.affine(r.matmul(left, y, GRAFT_TRANS_B), -1, 0)};
}

OpDef small(std::string_view name, const char* kernel, decltype(OpDef::infer) infer,
            decltype(OpDef::derive) derive) {
  OpDef op;
  op.name = name;
  op.kernel = kernel;
  op.infer = infer;
  op.derive = derive;
  return op;
}

}  // namespace

std::vector<OpDef> small_ops() {
  std::vector<OpDef> ops = {small("skew", "skew/1", infer_skew, derive_skew),
                            small("unskew", "unskew/1", infer_unskew, derive_unskew),
                            small("orthonormal", "orthonormal/1", infer_orthonormal, nullptr),
                            small("inverse", "inverse/1", infer_square, derive_inverse)};
  ops.back().attrs = {{"shift", true, 0}};
  return ops;
}

}  // namespace graft::core
