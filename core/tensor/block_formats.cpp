#include "core/tensor/block_formats.hpp"

#include <array>
#include <cstring>

#include "core/base/error.hpp"
#include "core/tensor/dtype.hpp"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // -O2 of gcc 12 leaves these loops scalar
#endif

namespace graft::core {
namespace {

using Bytes = const std::uint8_t*;

float f16_at(Bytes at) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, at, 2);
  return f16_to_float(bits);
}

std::uint32_t u32_at(Bytes at) {
  std::uint32_t value = 0;
  std::memcpy(&value, at, 4);
  return value;
}

// ---- 32 elements: a scale, perhaps a minimum, then the codes -----------------------------------
// Low nibbles are the first 16 elements, high nibbles the last 16.

// d; qs[16]
void q4_0(Bytes block, float* out) {
  const float d = f16_at(block);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>((block[2 + j] & 15) - 8) * d;
    out[j + 16] = static_cast<float>((block[2 + j] >> 4) - 8) * d;
  }
}

// d, m; qs[16]
void q4_1(Bytes block, float* out) {
  const float d = f16_at(block), m = f16_at(block + 2);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(block[4 + j] & 15) * d + m;
    out[j + 16] = static_cast<float>(block[4 + j] >> 4) * d + m;
  }
}

// Codes of the 5-bit formats: bit j of `high` is the fifth bit of element j.
void five_bits(Bytes qs, std::uint32_t high, int* codes) {
  for (int j = 0; j < 16; ++j) {
    codes[j] = (qs[j] & 15) | static_cast<int>(((high >> j) & 1) << 4);
    codes[j + 16] = (qs[j] >> 4) | static_cast<int>(((high >> (j + 16)) & 1) << 4);
  }
}

// d; qh[4]; qs[16]
void q5_0(Bytes block, float* out) {
  const float d = f16_at(block);
  int codes[32];
  five_bits(block + 6, u32_at(block + 2), codes);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(codes[j] - 16) * d;
}

// d, m; qh[4]; qs[16]
void q5_1(Bytes block, float* out) {
  const float d = f16_at(block), m = f16_at(block + 2);
  int codes[32];
  five_bits(block + 8, u32_at(block + 4), codes);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(codes[j]) * d + m;
}

// d; qs[32], signed
void q8_0(Bytes block, float* out) {
  const float d = f16_at(block);
  for (int j = 0; j < 32; ++j) {
    out[j] = static_cast<float>(static_cast<std::int8_t>(block[2 + j])) * d;
  }
}

// d; qs[16], nibbles being indices of a table
void iq4_nl(Bytes block, float* out) {
  constexpr float table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};
  const float d = f16_at(block);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * table[block[2 + j] & 15];
    out[j + 16] = d * table[block[2 + j] >> 4];
  }
}

// ---- 256 elements: sub-blocks with scales of their own ------------------------------------------

// scales[16]: scale | minimum << 4 of 16 elements each; qs[64]; d, dmin
// Each 32 bytes of qs hold 4 x 32 elements, two bits at a time from the lowest.
void q2_k(Bytes block, float* out) {
  const Bytes scales = block, qs = block + 16;
  const float d = f16_at(block + 80), dmin = f16_at(block + 82);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(scales[group] & 15);
    const float minimum = dmin * static_cast<float>(scales[group] >> 4);
    const Bytes q = qs + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    for (int l = 0; l < 16; ++l) {
      out[16 * group + l] = scale * static_cast<float>((q[l] >> shift) & 3) - minimum;
    }
  }
}

// hmask[32]; qs[64]; scales[12]; d
// Codes lie as in q2_k; bit b of hmask[l] is the third bit of element 32 b + l, 4 being taken off
// where it is 0. Scales have 6 bits less 32: low nibbles in 8 bytes, high pairs in 4.
void q3_k(Bytes block, float* out) {
  const Bytes hmask = block, qs = block + 32, scales = block + 96;
  const float d = f16_at(block + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = (scales[group % 8] >> (group / 8 * 4)) & 15;
    const int high = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const Bytes q = qs + group / 8 * 32 + group % 2 * 16, h = hmask + group % 2 * 16;
    const int shift = group % 8 / 2 * 2, bit = group / 2;
    for (int l = 0; l < 16; ++l) {
      const int code = ((q[l] >> shift) & 3) + ((h[l] >> bit) & 1) * 4 - 4;
      out[16 * group + l] = scale * static_cast<float>(code);
    }
  }
}

// Scale and minimum of sub-block j out of the 12 bytes that q4_k and q5_k share.
void six_bits(Bytes scales, int j, int* scale, int* minimum) {
  if (j < 4) {
    *scale = scales[j] & 63;
    *minimum = scales[j + 4] & 63;
  } else {
    *scale = (scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4;
    *minimum = scales[j + 4] >> 4 | (scales[j] >> 6) << 4;
  }
}

// d, dmin; scales[12]; qs[128]
// Sub-blocks of 32: each 32 bytes of qs hold one in the low nibbles and the next in the high ones.
void q4_k(Bytes block, float* out) {
  const float d = f16_at(block), dmin = f16_at(block + 2);
  for (int j = 0; j < 8; ++j) {
    int sc = 0, mn = 0;
    six_bits(block + 4, j, &sc, &mn);
    const float scale = d * static_cast<float>(sc), minimum = dmin * static_cast<float>(mn);
    const Bytes q = block + 16 + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int l = 0; l < 32; ++l) {
      out[32 * j + l] = scale * static_cast<float>((q[l] >> shift) & 15) - minimum;
    }
  }
}

// d, dmin; scales[12]; qh[32]; qs[128]; bit j of qh[l] is the fifth bit of element l of sub-block j
void q5_k(Bytes block, float* out) {
  const float d = f16_at(block), dmin = f16_at(block + 2);
  const Bytes high = block + 16;
  for (int j = 0; j < 8; ++j) {
    int sc = 0, mn = 0;
    six_bits(block + 4, j, &sc, &mn);
    const float scale = d * static_cast<float>(sc), minimum = dmin * static_cast<float>(mn);
    const Bytes q = block + 48 + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int l = 0; l < 32; ++l) {
      const int code = ((q[l] >> shift) & 15) | ((high[l] >> j) & 1) << 4;
      out[32 * j + l] = scale * static_cast<float>(code) - minimum;
    }
  }
}

// ql[128]; qh[64]; scales[16], signed; d
// Two halves of 128 elements; in each, quarter k of 32 elements takes the low or high nibbles of
// ql[32 (k % 2) ..] and bits 2k of qh.
void q6_k(Bytes block, float* out) {
  const float d = f16_at(block + 208);
  for (int quarter = 0; quarter < 8; ++quarter) {
    const int half = quarter / 4, k = quarter % 4;
    const Bytes low = block + 64 * half + 32 * (k % 2), high = block + 128 + 32 * half;
    const Bytes scales = block + 192 + 8 * half + 2 * k;
    const int low_shift = k / 2 * 4, high_shift = 2 * k;
    for (int part = 0; part < 2; ++part) {
      const float scale = d * static_cast<float>(static_cast<std::int8_t>(scales[part]));
      for (int l = 16 * part; l < 16 * part + 16; ++l) {
        const int code = ((low[l] >> low_shift) & 15) | ((high[l] >> high_shift) & 3) << 4;
        out[32 * quarter + l] = scale * static_cast<float>(code - 32);
      }
    }
  }
}

template <void (*One)(Bytes, float*), int Elements, int Size>
void many(Bytes blocks, float* out, std::int64_t count) {
  for (; count > 0; --count, blocks += Size, out += Elements) One(blocks, out);
}

template <void (*One)(Bytes, float*), int Elements, int Size>
constexpr BlockFormat format(std::string_view name, std::uint32_t ggml_type) {
  return {name, ggml_type, Elements, Size, many<One, Elements, Size>};
}

constexpr std::array<BlockFormat, 11> formats = {
    format<q4_0, 32, 18>("q4_0", 2),     format<q4_1, 32, 20>("q4_1", 3),
    format<q5_0, 32, 22>("q5_0", 6),     format<q5_1, 32, 24>("q5_1", 7),
    format<q8_0, 32, 34>("q8_0", 8),     format<q2_k, 256, 84>("q2_k", 10),
    format<q3_k, 256, 110>("q3_k", 11),  format<q4_k, 256, 144>("q4_k", 12),
    format<q5_k, 256, 176>("q5_k", 13),  format<q6_k, 256, 210>("q6_k", 14),
    format<iq4_nl, 32, 18>("iq4_nl", 20)};

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
