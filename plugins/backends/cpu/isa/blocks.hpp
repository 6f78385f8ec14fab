// The blocks of GGUF, W codes at a time. A block is groups of elements that share a scale; each_..(block,
// group) calls, for those from element `at` on,
//   group.scaled(at, n, scale, zero, code)    elements are (code - zero) scale
//   group.affine(at, n, scale, offset, code)  elements are code scale + offset
// where code(l) gives those from element l of the group on, and n is known when this is compiled.
// graft/quant.hpp has the same formats as plain code, and says how they lie.
#ifndef GRAFT_CPU_ISA_BLOCKS_HPP
#define GRAFT_CPU_ISA_BLOCKS_HPP
#include <graft/quant.hpp>

#include "plugins/backends/cpu/isa/books.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

using graft::quant::Bytes;
using graft::quant::Format;

// gcc converts vectors of bytes one by one.
#if defined(__AVX512F__)
GRAFT_INLINE I bytes_at(Bytes at) {
  return (I)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)at));
}
GRAFT_INLINE I signed_at(Bytes at) {
  return (I)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)at));
}
#elif defined(__AVX2__)
GRAFT_INLINE I bytes_at(Bytes at) {
  return (I)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)at));
}
GRAFT_INLINE I signed_at(Bytes at) {
  return (I)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)at));
}
#else
GRAFT_INLINE I bytes_at(Bytes at) {
  return I{at[0], at[1], at[2], at[3]};
}
GRAFT_INLINE I signed_at(Bytes at) {
  return I{(int8_t)at[0], (int8_t)at[1], (int8_t)at[2], (int8_t)at[3]};
}
#endif
GRAFT_INLINE F real(I x) {
  return __builtin_convertvector(x, F);
}
GRAFT_INLINE F real(F x) {
  return x;
}
GRAFT_INLINE I minus(I codes, int zero) {
  return codes - zero;
}
GRAFT_INLINE F minus(F values, int) {
  return values;
}
/// 0, 1, .. W - 1
GRAFT_INLINE I lanes() {
  I x;
  for (int i = 0; i < W; ++i) x[i] = i;
  return x;
}
/// An IEEE half.
GRAFT_INLINE F half_at(Bytes at) {
  uint16_t half;
  memcpy(&half, at, 2);
#if defined(__F16C__)
  return splat(_cvtsh_ss(half));
#else
  const uint32_t body = (uint32_t)(half & 0x7fff) << 13, sign = (uint32_t)(half & 0x8000) << 16;
  float value;
  memcpy(&value, &body, 4);
  value *= 0x1p112f;
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (body >= (0x7c00u << 13)) bits = body | 0x7f800000u;
  bits |= sign;
  memcpy(&value, &bits, 4);
  return splat(value);
#endif
}

// ---- 32 elements ------------------------------------------------------------------------------------

/// 16 bytes at qs: the low nibbles are elements 0 to 15, the high ones the rest.
GRAFT_INLINE I nibbles(Bytes qs, int l) {
  return l < 16 ? bytes_at(qs + l) & 15 : bytes_at(qs + l - 16) >> 4;
}
/// The same with bits of `high` as their fifth bits.
GRAFT_INLINE I five_bits(Bytes qs, uint32_t high, int l) {
  return nibbles(qs, l) | ((splat_int((int32_t)high) >> (lanes() + l)) & 1) << 4;
}

template <class Group>
GRAFT_INLINE void each_q4_0(Bytes block, Group& group) {
  group.scaled(0, 32, half_at(block), 8, [&](int l) { return nibbles(block + 2, l); });
}
template <class Group>
GRAFT_INLINE void each_q4_1(Bytes block, Group& group) {
  group.affine(0, 32, half_at(block), half_at(block + 2),
               [&](int l) { return nibbles(block + 4, l); });
}
template <class Group>
GRAFT_INLINE void each_q5_0(Bytes block, Group& group) {
  const uint32_t high = graft::quant::u32_at(block + 2);
  group.scaled(0, 32, half_at(block), 16, [&](int l) { return five_bits(block + 6, high, l); });
}
template <class Group>
GRAFT_INLINE void each_q5_1(Bytes block, Group& group) {
  const uint32_t high = graft::quant::u32_at(block + 4);
  group.affine(0, 32, half_at(block), half_at(block + 2),
               [&](int l) { return five_bits(block + 8, high, l); });
}
template <class Group>
GRAFT_INLINE void each_q8_0(Bytes block, Group& group) {
  group.scaled(0, 32, half_at(block), 0, [&](int l) { return signed_at(block + 2 + l); });
}
template <class Group>
GRAFT_INLINE void each_iq4_nl(Bytes block, Group& group) {
  const float table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                           1,    13,   25,  38,  53,  69,  89,  113};
  const Book book = book_of(table);
  group.scaled(0, 32, half_at(block), 0, [&](int l) { return pick(book, nibbles(block + 2, l)); });
}

// ---- 256 elements -----------------------------------------------------------------------------------

template <class Group>
GRAFT_INLINE void each_q2_k(Bytes block, Group& group) {
  const F d = half_at(block + 80), dmin = half_at(block + 82);
  GRAFT_UNROLL
  for (int g = 0; g < 16; ++g) {
    const Bytes q = block + 16 + g / 8 * 32 + g % 2 * 16;
    const int shift = g % 8 / 2 * 2;
    group.affine(16 * g, 16, d * (float)(block[g] & 15), -(dmin * (float)(block[g] >> 4)),
                 [&](int l) { return (bytes_at(q + l) >> shift) & 3; });
  }
}
template <class Group>
GRAFT_INLINE void each_q3_k(Bytes block, Group& group) {
  const F d = half_at(block + 108);
  const Bytes scales = block + 96;
  GRAFT_UNROLL
  for (int g = 0; g < 16; ++g) {
    const int low = (scales[g % 8] >> (g / 8 * 4)) & 15;
    const int high = (scales[8 + g % 4] >> (g / 4 * 2)) & 3;
    const Bytes q = block + 32 + g / 8 * 32 + g % 2 * 16, h = block + g % 2 * 16;
    const int shift = g % 8 / 2 * 2, bit = g / 2;
    group.scaled(16 * g, 16, d * (float)((low | high << 4) - 32), 4, [&](int l) {
      return ((bytes_at(q + l) >> shift) & 3) | ((bytes_at(h + l) >> bit) & 1) << 2;
    });
  }
}
/// Eight times 32 elements with scales and minima of six bits; codes(j, l) are those from element l of
/// sub-block j on.
template <class Codes, class Group>
GRAFT_INLINE void six_bit_blocks(Bytes block, Codes codes, Group& group) {
  const F d = half_at(block), dmin = half_at(block + 2);
  GRAFT_UNROLL
  for (int j = 0; j < 8; ++j) {
    int sc = 0, mn = 0;
    graft::quant::six_bits(block + 4, j, &sc, &mn);
    group.affine(32 * j, 32, d * (float)sc, -(dmin * (float)mn),
                 [&](int l) { return codes(j, l); });
  }
}
/// The nibbles of sub-block j from element l on: two sub-blocks share 32 bytes of qs.
GRAFT_INLINE I paired_nibbles(Bytes qs, int j, int l) {
  return (bytes_at(qs + j / 2 * 32 + l) >> (j % 2 * 4)) & 15;
}
template <class Group>
GRAFT_INLINE void each_q4_k(Bytes block, Group& group) {
  six_bit_blocks(
      block, [&](int j, int l) { return paired_nibbles(block + 16, j, l); }, group);
}
template <class Group>
GRAFT_INLINE void each_q5_k(Bytes block, Group& group) {
  const auto fifth = [&](int j, int l) { return ((bytes_at(block + 16 + l) >> j) & 1) << 4; };
  six_bit_blocks(
      block, [&](int j, int l) { return paired_nibbles(block + 48, j, l) | fifth(j, l); }, group);
}
template <class Group>
GRAFT_INLINE void each_q6_k(Bytes block, Group& group) {
  const F d = half_at(block + 208);
  GRAFT_UNROLL
  for (int g = 0; g < 16; ++g) {
    const int half = g / 8, k = g / 2 % 4, part = g % 2 * 16;
    const Bytes low = block + 64 * half + 32 * (k % 2) + part;
    const Bytes high = block + 128 + 32 * half + part;
    const int low_shift = k / 2 * 4, high_shift = 2 * k;
    group.scaled(16 * g, 16, d * (float)(int8_t)block[192 + g], 32, [&](int l) {
      return ((bytes_at(low + l) >> low_shift) & 15) | ((bytes_at(high + l) >> high_shift) & 3)
                                                           << 4;
    });
  }
}

/// Elements of a group.
GRAFT_INLINE int group_of(Format format) {
  return format == graft::quant::kQ2K || format == graft::quant::kQ3K ||
                 format == graft::quant::kQ6K
             ? 16
             : 32;
}

/// with(each, elements) for the format's each_..
template <class With>
GRAFT_INLINE void with_blocks(Format format, With with) {
#define GRAFT_BLOCKS(FORMAT, EACH, ELEMENTS)                                                 \
  case graft::quant::FORMAT:                                                                 \
    return with(                                                                             \
        [](Bytes block, auto& group) __attribute__((always_inline)) { EACH(block, group); }, \
        ELEMENTS);
  switch (format) {
    GRAFT_BLOCKS(kQ4_0, each_q4_0, 32)
    GRAFT_BLOCKS(kQ4_1, each_q4_1, 32)
    GRAFT_BLOCKS(kQ5_0, each_q5_0, 32)
    GRAFT_BLOCKS(kQ5_1, each_q5_1, 32)
    GRAFT_BLOCKS(kQ8_0, each_q8_0, 32)
    GRAFT_BLOCKS(kIq4Nl, each_iq4_nl, 32)
    GRAFT_BLOCKS(kQ2K, each_q2_k, 256)
    GRAFT_BLOCKS(kQ3K, each_q3_k, 256)
    GRAFT_BLOCKS(kQ4K, each_q4_k, 256)
    GRAFT_BLOCKS(kQ5K, each_q5_k, 256)
    GRAFT_BLOCKS(kQ6K, each_q6_k, 256)
    default:
      return;
  }
#undef GRAFT_BLOCKS
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
#endif
