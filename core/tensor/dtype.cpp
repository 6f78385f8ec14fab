#include "core/tensor/dtype.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>

#include "core/base/error.hpp"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // -O2 of gcc 12 leaves these loops scalar
#endif

namespace graft::core {
namespace {

struct Names {
  std::uint32_t dtype;
  std::size_t size;
  std::string_view name, long_name;
};

constexpr std::array<Names, 8> known = {{{GRAFT_F64, 8, "f64", "float64"},
                                         {GRAFT_F32, 4, "f32", "float32"},
                                         {GRAFT_F16, 2, "f16", "float16"},
                                         {GRAFT_BF16, 2, "bf16", "bfloat16"},
                                         {GRAFT_I8, 1, "i8", "int8"},
                                         {GRAFT_U8, 1, "u8", "uint8"},
                                         {GRAFT_I32, 4, "i32", "int32"},
                                         {GRAFT_I64, 8, "i64", "int64"}}};

struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

// A wide value as float, rounded to odd: a second rounding to fewer bits is then still correct.
template <class Wide>
float to_odd(Wide value) {
  const auto nearest = static_cast<float>(value);
  const auto wide = static_cast<long double>(value);
  const auto back = static_cast<long double>(nearest);
  if (wide == back || wide != wide) return nearest;
  auto bits = std::bit_cast<std::uint32_t>(nearest);
  if (std::fabs(back) > std::fabs(wide)) --bits;
  return std::bit_cast<float>(bits | 1);
}

template <class From>
float to_float(From value) {
  if constexpr (std::is_same_v<From, Bf16>) {
    return bf16_to_float(value.bits);
  } else if constexpr (std::is_same_v<From, F16>) {
    return f16_to_float(value.bits);
  } else {
    return static_cast<float>(value);
  }
}

template <class To, class From>
To convert_one(From value) {
  constexpr bool to_half = std::is_same_v<To, Bf16> || std::is_same_v<To, F16>;
  if constexpr (to_half) {
    float single;
    if constexpr (sizeof(From) > 4 || std::is_same_v<From, std::int32_t>) {
      single = to_odd(value);
    } else {
      single = to_float(value);
    }
    if constexpr (std::is_same_v<To, Bf16>) {
      return Bf16{float_to_bf16(single)};
    } else {
      return F16{float_to_f16(single)};
    }
  } else if constexpr (std::is_same_v<From, Bf16> || std::is_same_v<From, F16>) {
    return static_cast<To>(to_float(value));
  } else {
    return static_cast<To>(value);
  }
}

template <class To, class From>
void run(std::byte* __restrict target, const std::byte* __restrict source, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    From in;
    std::memcpy(&in, source + i * sizeof(From), sizeof in);
    const To out = convert_one<To>(in);
    std::memcpy(target + i * sizeof(To), &out, sizeof out);
  }
}

template <class To>
void run_from(std::uint32_t from, std::byte* target, const std::byte* source, std::size_t count) {
  switch (from) {
    case GRAFT_F64:
      return run<To, double>(target, source, count);
    case GRAFT_F32:
      return run<To, float>(target, source, count);
    case GRAFT_F16:
      return run<To, F16>(target, source, count);
    case GRAFT_BF16:
      return run<To, Bf16>(target, source, count);
    case GRAFT_I8:
      return run<To, std::int8_t>(target, source, count);
    case GRAFT_U8:
      return run<To, std::uint8_t>(target, source, count);
    case GRAFT_I32:
      return run<To, std::int32_t>(target, source, count);
    default:
      return run<To, std::int64_t>(target, source, count);
  }
}

}  // namespace

std::size_t dtype_size(std::uint32_t dtype) {
  for (const Names& entry : known) {
    if (entry.dtype == dtype) return entry.size;
  }
  throw Error(GRAFT_E_INVALID, cat("dtype ", dtype_name(dtype), " (", dtype,
                                   ") has no size per element; it must be expanded first."));
}

std::string_view dtype_name(std::uint32_t dtype) {
  for (const Names& entry : known) {
    if (entry.dtype == dtype) return entry.name;
  }
  return dtype == GRAFT_QUANT ? "quant" : "unknown";
}

std::optional<std::uint32_t> find_dtype(std::string_view name) {
  constexpr std::string_view prefix = "torch.";
  if (name.substr(0, prefix.size()) == prefix) name.remove_prefix(prefix.size());
  for (const Names& entry : known) {
    if (name == entry.name || name == entry.long_name) return entry.dtype;
  }
  return std::nullopt;
}

std::uint32_t parse_dtype(std::string_view name, std::string_view who) {
  if (const auto dtype = find_dtype(name)) return *dtype;
  std::string names;
  for (const Names& entry : known) names += cat(names.empty() ? "" : ", ", entry.name);
  throw Error(GRAFT_E_INVALID, cat(who, ": '", name, "' is no dtype. Known: ", names, "."));
}

void convert(std::uint32_t to, void* target, std::uint32_t from, const void* source,
             std::size_t count) {
  const std::size_t size = dtype_size(to);
  static_cast<void>(dtype_size(from));
  auto* out = static_cast<std::byte*>(target);
  const auto* in = static_cast<const std::byte*>(source);
  if (to == from) {
    if (count > 0) std::memcpy(out, in, count * size);
  } else if (to == GRAFT_F64) {
    run_from<double>(from, out, in, count);
  } else if (to == GRAFT_F32) {
    run_from<float>(from, out, in, count);
  } else if (to == GRAFT_F16) {
    run_from<F16>(from, out, in, count);
  } else if (to == GRAFT_BF16) {
    run_from<Bf16>(from, out, in, count);
  } else {
    throw Error(GRAFT_E_INVALID, cat("convert: ", dtype_name(from), " to ", dtype_name(to),
                                     " would lose values; targets are f64, f32, f16 and bf16."));
  }
}

}  // namespace graft::core
