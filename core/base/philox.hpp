// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw 2011, "Parallel
// Random Numbers: As Easy as 1, 2, 3" (section 3.3): a counter and a key give four random words,
// with no state in between, so any element of any stream can be had alone.
#pragma once
#include <array>
#include <cstdint>

namespace graft::core {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

inline PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9;  // golden ratio
    key[1] += 0xBB67AE85;  // sqrt(3) - 1
  }
  return counter;
}

/// 64 random bits number `index` of the stream `stream` of the seed `seed`.
inline std::uint64_t random_bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const auto low = [](std::uint64_t v) { return static_cast<std::uint32_t>(v); };
  const auto high = [](std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32); };
  const PhiloxCounter out =
      philox4x32({low(index), high(index), low(stream), high(stream)}, {low(seed), high(seed)});
  return out[0] | (std::uint64_t{out[1]} << 32);
}

/// Uniform below `bound` (not 0): the high half of a 128-bit product, whose bias is at most
/// bound / 2^64.
inline std::uint64_t random_below(std::uint64_t bound, std::uint64_t bits) {
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<std::uint64_t>((static_cast<Wide>(bits) * bound) >> 64);
}

/// Uniform in [0, 1), all 53 bits used.
inline double random_unit(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

}  // namespace graft::core
