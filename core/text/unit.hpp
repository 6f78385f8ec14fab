// What a model makes of a piece.
#pragma once
#include <cstdint>

namespace graft::core {

/// A token and the bytes of the piece that it covers.
struct Unit {
  std::int32_t id = 0;
  std::uint32_t begin = 0, end = 0;
};

}  // namespace graft::core
