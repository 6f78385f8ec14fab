// Where a value's elements lie: strides and offset in its root's memory, for given extents.
#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "core/graph/graph.hpp"

namespace graft::core {

inline constexpr int kMaxAxes = 8;

struct Layout {
  int axes = 0;
  std::array<std::int64_t, kMaxAxes> shape{}, stride{};
  std::int64_t offset = 0;  ///< elements from the start of the root

  std::int64_t count() const;
  bool dense() const;  ///< row-major without gaps
};

/// Row-major.
Layout dense_layout(const Shape& shape, const Bindings& b);

/// The layout of a view op's output over its input's. nullopt: a reshape that needs a copy.
std::optional<Layout> view_layout(const Node& view, const Layout& input, const Shape& out,
                                  const Bindings& b);

}  // namespace graft::core
