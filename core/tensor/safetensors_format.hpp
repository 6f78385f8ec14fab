// What the reader and the writer of safetensors share: the table of types and the limits.
#pragma once
#include <graft/types.h>

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

namespace graft::core::safetensors {

using Extents = std::vector<std::int64_t>;

struct Type {
  std::string_view name;
  std::uint32_t bits;
  std::uint32_t dtype;  // 0: graft has no such element type
};

inline constexpr std::array<Type, 22> types = {
    {{"BOOL", 8, 0},         {"F4", 4, 0},           {"F6_E2M3", 6, 0},
     {"F6_E3M2", 6, 0},      {"U8", 8, GRAFT_U8},    {"I8", 8, GRAFT_I8},
     {"F8_E5M2", 8, 0},      {"F8_E4M3", 8, 0},      {"F8_E8M0", 8, 0},
     {"F8_E4M3FNUZ", 8, 0},  {"F8_E5M2FNUZ", 8, 0},  {"I16", 16, 0},
     {"U16", 16, 0},         {"F16", 16, GRAFT_F16}, {"BF16", 16, GRAFT_BF16},
     {"I32", 32, GRAFT_I32}, {"U32", 32, 0},         {"F32", 32, GRAFT_F32},
     {"C64", 64, 0},         {"F64", 64, GRAFT_F64}, {"I64", 64, GRAFT_I64},
     {"U64", 64, 0}}};

inline const Type* find_type(std::string_view name) {
  for (const Type& type : types) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

inline constexpr std::uint64_t max_header = 100'000'000;
inline constexpr std::size_t max_rank = 8, max_name = 4096;

// Bytes that a tensor of this type and shape takes; nothing where that overflows.
inline std::optional<std::uint64_t> byte_count(const Type& type, const Extents& shape) {
  std::uint64_t bits = type.bits;
  bool empty = false;
  for (const std::int64_t extent : shape) {
    empty = empty || extent == 0;
    if (extent != 0 && __builtin_mul_overflow(bits, static_cast<std::uint64_t>(extent), &bits)) {
      return std::nullopt;
    }
  }
  if (bits > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::nullopt;
  }
  if (empty) return 0;
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

}  // namespace graft::core::safetensors
