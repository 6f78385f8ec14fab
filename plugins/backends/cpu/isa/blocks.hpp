// The blocks of GGUF expanded W elements at a time: each_..(block, put) calls put(at, slot, w) with the
// elements from `at` on. slot counts vectors from 0 to 3 and over again, and is known when this is compiled.
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

/// 16 bytes at qs: the low nibbles are elements 0 to 15, the high ones the rest. to_real(codes, at) makes
/// elements of them.
template <class ToReal, class Put>
GRAFT_INLINE void nibbles(Bytes qs, ToReal to_real, Put put) {
  GRAFT_UNROLL
  for (int l = 0; l < 16; l += W) {
    const I byte = bytes_at(qs + l);
    put(l, 2 * l / W & 3, to_real(byte & 15, l));
    put(l + 16, (2 * l / W + 1) & 3, to_real(byte >> 4, l + 16));
  }
}
/// Bits `at` to at + W - 1 of `high` as the fifth bits of codes.
GRAFT_INLINE I fifth_bits(uint32_t high, int at) {
  return ((splat_int((int32_t)high) >> (lanes() + at)) & 1) << 4;
}

template <class Put>
GRAFT_INLINE void each_q4_0(Bytes block, Put put) {
  const F d = half_at(block);
  nibbles(
      block + 2, [&](I code, int) { return real(code - 8) * d; }, put);
}
template <class Put>
GRAFT_INLINE void each_q4_1(Bytes block, Put put) {
  const F d = half_at(block), m = half_at(block + 2);
  nibbles(
      block + 4, [&](I code, int) { return real(code) * d + m; }, put);
}
template <class Put>
GRAFT_INLINE void each_q5_0(Bytes block, Put put) {
  const F d = half_at(block);
  const uint32_t high = graft::quant::u32_at(block + 2);
  nibbles(
      block + 6, [&](I code, int at) { return real((code | fifth_bits(high, at)) - 16) * d; }, put);
}
template <class Put>
GRAFT_INLINE void each_q5_1(Bytes block, Put put) {
  const F d = half_at(block), m = half_at(block + 2);
  const uint32_t high = graft::quant::u32_at(block + 4);
  nibbles(
      block + 8, [&](I code, int at) { return real(code | fifth_bits(high, at)) * d + m; }, put);
}
template <class Put>
GRAFT_INLINE void each_q8_0(Bytes block, Put put) {
  const F d = half_at(block);
  GRAFT_UNROLL
  for (int l = 0; l < 32; l += W) put(l, l / W & 3, real(signed_at(block + 2 + l)) * d);
}
template <class Put>
GRAFT_INLINE void each_iq4_nl(Bytes block, Put put) {
  const float table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                           1,    13,   25,  38,  53,  69,  89,  113};
  const Book book = book_of(table);
  const F d = half_at(block);
  nibbles(
      block + 2, [&](I code, int) { return pick(book, code) * d; }, put);
}

// ---- 256 elements -----------------------------------------------------------------------------------

template <class Put>
GRAFT_INLINE void each_q2_k(Bytes block, Put put) {
  const F d = half_at(block + 80), dmin = half_at(block + 82);
  for (int group = 0; group < 16; ++group) {
    const F scale = d * (float)(block[group] & 15), minimum = dmin * (float)(block[group] >> 4);
    const Bytes q = block + 16 + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    GRAFT_UNROLL
    for (int l = 0; l < 16; l += W)
      put(16 * group + l, l / W & 3, scale * real((bytes_at(q + l) >> shift) & 3) - minimum);
  }
}
template <class Put>
GRAFT_INLINE void each_q3_k(Bytes block, Put put) {
  const F d = half_at(block + 108);
  const Bytes scales = block + 96;
  for (int group = 0; group < 16; ++group) {
    const int low = (scales[group % 8] >> (group / 8 * 4)) & 15;
    const int high = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
    const F scale = d * (float)((low | high << 4) - 32);
    const Bytes q = block + 32 + group / 8 * 32 + group % 2 * 16, h = block + group % 2 * 16;
    const int shift = group % 8 / 2 * 2, bit = group / 2;
    GRAFT_UNROLL
    for (int l = 0; l < 16; l += W) {
      const I code = ((bytes_at(q + l) >> shift) & 3) + ((bytes_at(h + l) >> bit) & 1) * 4 - 4;
      put(16 * group + l, l / W & 3, scale * real(code));
    }
  }
}
/// Eight times 32 elements with scales and minima of six bits; codes(j, l) are those from element l of
/// sub-block j on.
template <class Codes, class Put>
GRAFT_INLINE void six_bit_blocks(Bytes block, Codes codes, Put put) {
  const F d = half_at(block), dmin = half_at(block + 2);
  for (int j = 0; j < 8; ++j) {
    int sc = 0, mn = 0;
    graft::quant::six_bits(block + 4, j, &sc, &mn);
    const F scale = d * (float)sc, minimum = dmin * (float)mn;
    GRAFT_UNROLL
    for (int l = 0; l < 32; l += W) put(32 * j + l, l / W & 3, scale * real(codes(j, l)) - minimum);
  }
}
/// The nibbles of sub-block j from element l on: two sub-blocks share 32 bytes of qs.
GRAFT_INLINE I paired_nibbles(Bytes qs, int j, int l) {
  return (bytes_at(qs + j / 2 * 32 + l) >> (j % 2 * 4)) & 15;
}
template <class Put>
GRAFT_INLINE void each_q4_k(Bytes block, Put put) {
  six_bit_blocks(
      block, [&](int j, int l) { return paired_nibbles(block + 16, j, l); }, put);
}
template <class Put>
GRAFT_INLINE void each_q5_k(Bytes block, Put put) {
  const auto fifth = [&](int j, int l) { return ((bytes_at(block + 16 + l) >> j) & 1) << 4; };
  six_bit_blocks(
      block, [&](int j, int l) { return paired_nibbles(block + 48, j, l) | fifth(j, l); }, put);
}
template <class Put>
GRAFT_INLINE void each_q6_k(Bytes block, Put put) {
  const F d = half_at(block + 208);
  for (int group = 0; group < 16; ++group) {
    const int half = group / 8, k = group / 2 % 4, part = group % 2 * 16;
    const Bytes low = block + 64 * half + 32 * (k % 2) + part;
    const Bytes high = block + 128 + 32 * half + part;
    const F scale = d * (float)(int8_t)block[192 + group];
    const int low_shift = k / 2 * 4, high_shift = 2 * k;
    GRAFT_UNROLL
    for (int l = 0; l < 16; l += W) {
      const I code =
          ((bytes_at(low + l) >> low_shift) & 15) | ((bytes_at(high + l) >> high_shift) & 3) << 4;
      put(16 * group + l, l / W & 3, scale * real(code - 32));
    }
  }
}

/// with(each, elements) for the format's each_..
template <class With>
GRAFT_INLINE void with_blocks(Format format, With with) {
#define GRAFT_BLOCKS(FORMAT, EACH, ELEMENTS) \
  case graft::quant::FORMAT:                 \
    return with(                             \
        [](Bytes block, auto put) __attribute__((always_inline)) { EACH(block, put); }, ELEMENTS);
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
