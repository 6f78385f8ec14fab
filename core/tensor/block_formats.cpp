#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // -O2 of gcc 12 leaves these loops scalar
#endif

#include "core/tensor/block_formats.hpp"

#include <array>
#include <graft/quant.hpp>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

template <void (*One)(quant::Bytes, float*), int Elements, int Size>
void many(const std::uint8_t* blocks, float* out, std::int64_t count) {
  for (; count > 0; --count, blocks += Size, out += Elements) One(blocks, out);
}

template <void (*One)(quant::Bytes, float*), int Elements, int Size>
constexpr BlockFormat format(std::string_view name, std::uint32_t ggml_type) {
  return {name, ggml_type, Elements, Size, many<One, Elements, Size>};
}

constexpr std::array<BlockFormat, 11> formats = {
    format<quant::q4_0, 32, 18>("q4_0", 2),     format<quant::q4_1, 32, 20>("q4_1", 3),
    format<quant::q5_0, 32, 22>("q5_0", 6),     format<quant::q5_1, 32, 24>("q5_1", 7),
    format<quant::q8_0, 32, 34>("q8_0", 8),     format<quant::q2_k, 256, 84>("q2_k", 10),
    format<quant::q3_k, 256, 110>("q3_k", 11),  format<quant::q4_k, 256, 144>("q4_k", 12),
    format<quant::q5_k, 256, 176>("q5_k", 13),  format<quant::q6_k, 256, 210>("q6_k", 14),
    format<quant::iq4_nl, 32, 18>("iq4_nl", 20)};

}  // namespace

std::span<const BlockFormat> block_formats() {
  return formats;
}

const BlockFormat& block_format(std::string_view name) {
  for (const BlockFormat& known : formats) {
    if (known.name == name) return known;
  }
  throw Error(GRAFT_UNSUPPORTED, cat("block format '", name, "' is not known."));
}

void expand_block_row(std::string_view format, const std::byte* blocks, float* out,
                      std::int64_t count) {
  const BlockFormat& known = block_format(format);
  if (count < 0 || count % known.elements != 0) {
    throw Error(GRAFT_E_INVALID,
                cat("expand_block_row: ", count, " elements are no whole number of ", known.name,
                    " blocks of ", known.elements, "."));
  }
  known.expand(reinterpret_cast<const std::uint8_t*>(blocks), out, count / known.elements);
}

}  // namespace graft::core
