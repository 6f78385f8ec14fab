// What random numbers are for: each purpose has streams of its own under one seed.
#pragma once
#include <cstdint>

namespace graft::core {

enum class Stream : std::uint64_t { kSplit = 1, kOrder = 2, kMix = 3 };

/// The stream of a purpose, a source and a round (an epoch).
inline std::uint64_t stream_id(Stream purpose, std::uint64_t source, std::uint64_t round) {
  return (static_cast<std::uint64_t>(purpose) << 56) | ((source & 0xffff) << 40) |
         (round & 0xffffffffff);
}

}  // namespace graft::core
