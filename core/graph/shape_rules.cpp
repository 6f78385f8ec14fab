#include "core/graph/shape_rules.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {

void require(const InferArgs& a, bool condition, const char* message) {
  if (!condition) a.refuse(message);
}

void require_same_dtype(const InferArgs& a, std::size_t first, std::size_t count) {
  for (std::size_t i = first + 1; i < first + count && i < a.in.size(); ++i) {
    if (a.in[i].dtype == a.in[first].dtype) continue;
    a.refuse(cat("input ", i, " is ", dtype_name(a.in[i].dtype), " but input ", first, " is ",
                 dtype_name(a.in[first].dtype), "; cast one of them."));
  }
}

void require_dtype(const InferArgs& a, std::size_t index, std::uint32_t dtype, const char* what) {
  if (index < a.in.size() && a.in[index].dtype != dtype) {
    a.refuse(cat(what, " is ", dtype_name(a.in[index].dtype), ", not ", dtype_name(dtype), "."));
  }
}

void require_rank(const InferArgs& a, std::size_t index, std::size_t rank, const char* what) {
  if (index < a.in.size() && a.in[index].shape.size() != rank) {
    a.refuse(cat(what, " has ", a.in[index].shape.size(), " axes, not ", rank, "."));
  }
}

Shape broadcast(const InferArgs& a, const Shape& x, const Shape& y) {
  Shape result(std::max(x.size(), y.size()), Extent(1));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const Extent ex = i < x.size() ? x[x.size() - 1 - i] : Extent(1);
    const Extent ey = i < y.size() ? y[y.size() - 1 - i] : Extent(1);
    if (!(ex == ey) && !is_one(ex) && !is_one(ey)) {
      a.refuse(cat("extents ", to_string(ex), " and ", to_string(ey), " do not broadcast."));
    }
    result[result.size() - 1 - i] = is_one(ex) ? ey : ex;
  }
  return result;
}

std::vector<TypeShape> like_first(const InferArgs& a) {
  return {{a.in[0].dtype, a.in[0].shape}};
}

}  // namespace graft::core
