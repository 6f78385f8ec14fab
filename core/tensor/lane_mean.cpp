#include "core/tensor/lane_mean.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace graft::core {
namespace {

constexpr std::size_t levels = 4, rows = 4;

/// One number in each lane.
template <std::size_t Lanes>
using Vec = std::array<float, Lanes>;

template <std::size_t Lanes>
void add(Vec<Lanes>& sum, const float* values) {
  for (std::size_t i = 0; i < Lanes; ++i) sum[i] += values[i];
}

/// Lane by lane the sum of `count` vectors: of every fourth one, then of these four sums. When a level
/// has summed 2^power terms it is handed on to the next and begins anew.
template <std::size_t Lanes>
Vec<Lanes> lane_sums(const float* x, std::size_t count) {
  const std::size_t quads = count / rows;
  const std::size_t log = quads > 1 ? static_cast<std::size_t>(std::bit_width(quads - 1)) : 0;
  const std::size_t power = std::max<std::size_t>(4, log / levels);
  const std::size_t step = std::size_t{1} << power;
  std::array<std::array<Vec<Lanes>, rows>, levels> sum{};
  const auto take = [&](std::size_t quad) {
    for (std::size_t k = 0; k < rows; ++k) add(sum[0][k], x + (quad * rows + k) * Lanes);
  };
  std::size_t i = 0;
  while (i + step <= quads) {
    for (const std::size_t end = i + step; i < end; ++i) take(i);
    for (std::size_t level = 1; level < levels; ++level) {
      for (std::size_t k = 0; k < rows; ++k) {
        add(sum[level][k], sum[level - 1][k].data());
        sum[level - 1][k] = {};
      }
      if ((i & ((step - 1) << (level * power))) != 0) break;
    }
  }
  for (; i < quads; ++i) take(i);
  for (std::size_t level = 1; level < levels; ++level) {
    for (std::size_t k = 0; k < rows; ++k) add(sum[0][k], sum[level][k].data());
  }
  for (std::size_t at = quads * rows; at < count; ++at) add(sum[0][0], x + at * Lanes);
  for (std::size_t k = 1; k < rows; ++k) add(sum[0][0], sum[0][k].data());
  return sum[0][0];
}

}  // namespace

float lane_mean(std::span<const float> values) {
  constexpr std::size_t lanes = 8;
  const std::size_t n = values.size();
  if (n == 0) return 0;
  const auto count = static_cast<float>(n);
  if (n < lanes) return lane_sums<1>(values.data(), n)[0] / count;
  float sum = 0;
  for (std::size_t i = n / lanes * lanes; i < n; ++i) sum += values[i];
  for (const float lane : lane_sums<lanes>(values.data(), n / lanes)) sum += lane;
  return sum / count;
}

}  // namespace graft::core
