// Element types: sizes, names, and conversion between them.
#pragma once
#include <graft/types.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace graft::core {

/// Bytes of one element. Throws for GRAFT_QUANT, whose elements come in blocks, and for unknown
/// values.
std::size_t dtype_size(std::uint32_t dtype);

/// "f32", "bf16", "i64", ...; "quant" for GRAFT_QUANT.
std::string_view dtype_name(std::uint32_t dtype);

/// Takes "bf16" as well as the names in config files: "bfloat16", "torch.bfloat16".
std::optional<std::uint32_t> find_dtype(std::string_view name);

/// The same, but an unknown name is an error that begins with `who` and lists the known ones.
std::uint32_t parse_dtype(std::string_view name, std::string_view who);

inline float bf16_to_float(std::uint16_t value) {
  return std::bit_cast<float>(std::uint32_t{value} << 16);
}

/// Rounds to nearest, ties to even. A NaN keeps its sign and upper payload and becomes quiet.
inline std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const std::uint32_t nan = (bits >> 16) | 0x40;
  return static_cast<std::uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

inline float f16_to_float(std::uint16_t value) {
  const std::uint32_t sign = (std::uint32_t{value} & 0x8000) << 16;
  const std::uint32_t body = (std::uint32_t{value} & 0x7fff) << 13;
  const std::uint32_t rebias = 112u << 23;  // 127 - 15
  const std::uint32_t normal = body + rebias;
  const std::uint32_t special = normal + rebias;  // infinity and NaN: exponent 31 becomes 255
  // A number with the exponent of the smallest normal half, minus that number's leading one.
  const float tiny = std::bit_cast<float>(normal + (1u << 23)) - std::bit_cast<float>(113u << 23);
  std::uint32_t bits = body >= (0x7c00u << 13) ? special : normal;
  bits = body < (0x0400u << 13) ? std::bit_cast<std::uint32_t>(tiny) : bits;
  return std::bit_cast<float>(sign | bits);
}

/// Rounds to nearest, ties to even; above 65519.99 it becomes infinity. NaN as in float_to_bf16.
inline std::uint16_t float_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000;
  const std::uint32_t body = bits & 0x7fffffff;
  const std::uint32_t normal = (body + 0xfff + ((body >> 13) & 1) - (112u << 23)) >> 13;
  // Adding 0.5 shifts the bits of a subnormal half to the low end, rounded by the adder.
  const std::uint32_t tiny =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(body) + 0.5f) - 0x3f000000;
  const std::uint32_t nan = 0x7e00 | ((body >> 13) & 0x3ff);
  std::uint32_t half = body < 0x38800000 ? tiny : normal;
  half = body >= 0x47800000 ? 0x7c00 : half;
  half = body > 0x7f800000 ? nan : half;
  return static_cast<std::uint16_t>(sign | half);
}

/// Converts `count` elements. Into f64, f32, f16 and bf16 from every element type, with one
/// rounding (nearest, ties to even); into an integer type only from the same type. The buffers may
/// be unaligned and must not overlap.
void convert(std::uint32_t to, void* target, std::uint32_t from, const void* source,
             std::size_t count);

}  // namespace graft::core
