// Shape rules that several ops share.
#pragma once
#include "core/graph/op.hpp"

namespace graft::core {

/// All inputs have one dtype; refuses otherwise and says to cast.
void require_same_dtype(const InferArgs& a, std::size_t first, std::size_t count);
void require_dtype(const InferArgs& a, std::size_t index, std::uint32_t dtype, const char* what);
void require_rank(const InferArgs& a, std::size_t index, std::size_t rank, const char* what);
void require(const InferArgs& a, bool condition, const char* message);

/// Shape of a broadcasting pair: aligned at the last axis, extents equal or 1.
Shape broadcast(const InferArgs& a, const Shape& x, const Shape& y);

/// One output like input 0.
std::vector<TypeShape> like_first(const InferArgs& a);

inline bool is_one(const Extent& e) {
  return e == Extent(1);
}

}  // namespace graft::core
