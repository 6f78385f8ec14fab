// graft/dynamic8.hpp: the dynamic maps of 8 bits, with a sign and without, to the bit as bitsandbytes
// has them on a CPU: what nested scales of nf4 and fp4 and 8-bit optimizer states are kept in.
#ifndef GRAFT_DYNAMIC8_HPP
#define GRAFT_DYNAMIC8_HPP
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#pragma GCC visibility push(hidden)
namespace graft::dynamic8 {

constexpr std::int64_t kBlock = 256;  // numbers of an optimizer state that share a scale
constexpr std::size_t kPlaces = 65536;

struct Map {
  std::array<float, 256> value;    // of a code; ascending
  std::vector<std::uint8_t> code;  // of a place: numbers from -1 to 1 have one of kPlaces
};

/// The i-th of n numbers from 0.1 to 1, made from the nearer end with one rounding: the product and the
/// sum are exact in f64.
inline float evenly(int i, int n) {
  const float first = 0.1f, last = 1, step = (last - first) / static_cast<float>(n - 1);
  const bool near_first = i < n / 2;
  const double ahead = near_first ? i : i + 1 - n;
  return static_cast<float>(static_cast<double>(near_first ? first : last) +
                            static_cast<double>(step) * ahead);
}

inline Map make_map(bool has_sign) {
  Map map{};
  std::size_t next = 2;  // 0 and 1 are there
  map.value[1] = 1;
  for (int i = 0; i < 7; ++i) {
    const int steps = has_sign ? 1 << i : 2 << i;
    const auto decade = static_cast<float>(std::pow(10.0, i - 6));
    for (int j = 0; j < steps; ++j) {
      const float mean = (evenly(j, steps + 1) + evenly(j + 1, steps + 1)) / 2;
      map.value[next++] = decade * mean;
      if (has_sign) map.value[next++] = -decade * mean;
    }
  }
  std::sort(map.value.begin(), map.value.end());
  map.code.resize(kPlaces);
  std::size_t code = 0;
  for (std::size_t place = 0; place < kPlaces; ++place) {
    const float x = static_cast<float>(place) / static_cast<float>(kPlaces - 1) * 2 - 1;
    // The nearest; between two the lower one.
    while (code < 255 && (map.value[code] + map.value[code + 1]) / 2 < x) ++code;
    map.code[place] = static_cast<std::uint8_t>(code);
  }
  return map;
}

inline const Map& map(bool has_sign) {
  static const Map with = make_map(true), without = make_map(false);
  return has_sign ? with : without;
}

/// What numbers of a block are multiplied with so that the largest becomes 1.
inline float inverse_scale(float largest) {
  return 1 / std::max(largest, 1e-38f);
}

/// Where x / scale is among the places. Each operation is rounded to f32; what is no number has the last
/// place.
inline std::size_t place_of(float x, float inverse) {
  const float t = std::max(-1.0f, std::min(1.0f, x * inverse));
  return static_cast<std::size_t>(std::round((t + 1) * 0.5f * 65535));
}

}  // namespace graft::dynamic8
#pragma GCC visibility pop
#endif
