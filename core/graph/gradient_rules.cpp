#include "core/graph/gradient_rules.hpp"

#include <graft/types.h>

#include <algorithm>

namespace graft::core {

std::uint32_t gradient_dtype(const Recorder& r, ValueId operand) {
  return r.value(operand).trainable && r.dtype(operand) != GRAFT_F64 ? std::uint32_t{GRAFT_F32}
                                                                     : std::uint32_t{0};
}

ValueId reduce_gradient(Recorder& r, ValueId d, ValueId operand) {
  const Shape from = r.shape(d), to = r.shape(operand);
  const std::uint32_t dtype = gradient_dtype(r, operand);
  Params params;
  params.shape = to;
  params.shape.insert(params.shape.begin(), from.size() - std::min(from.size(), to.size()), 1);
  if (dtype == 0 || params.shape == from) return r.reduce_to(d, to);
  params.attrs = {{"dtype", dtype, 0}};
  return r.reshape(r.record(*find_op("reduce_sum"), {d}, std::move(params)).at(0), to);
}

}  // namespace graft::core
