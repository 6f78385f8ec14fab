// Books of 16 values (nf4, fp4, iq4_nl), looked up many at a time.
#ifndef GRAFT_CPU_ISA_BOOKS_HPP
#define GRAFT_CPU_ISA_BOOKS_HPP
#include <graft/quant.hpp>

#include "plugins/backends/cpu/isa/vec.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

/// body(j, count, first, scale) for the pieces of n elements from `first` on that share a scale.
template <class Body>
GRAFT_INLINE void by_scale(const graft_quant* q, int64_t first, int64_t n, Body body) {
  const int64_t size = q->block_elements;
  int64_t block = first / size, end = (block + 1) * size - first;
  for (int64_t j = 0; j < n; ++block, end += size) {
    const int64_t count = least(end, n) - j;
    body(j, count, first + j, graft::quant::book_scale(q, block));
    j += count;
  }
}

// ---- W codes in a vector ------------------------------------------------------------------------

#if defined(__AVX512F__)
struct Book {
  __m512 values;
};
GRAFT_INLINE Book book_of(const float* book) {
  return {_mm512_loadu_ps(book)};
}
GRAFT_INLINE F pick(const Book& book, I codes) {
  return (F)_mm512_permutexvar_ps((__m512i)codes, book.values);
}
#elif defined(__AVX2__)
struct Book {
  __m256 low, high;
};
GRAFT_INLINE Book book_of(const float* book) {
  return {_mm256_loadu_ps(book), _mm256_loadu_ps(book + 8)};
}
GRAFT_INLINE F pick(const Book& book, I codes) {
  const __m256 low = _mm256_permutevar8x32_ps(book.low, (__m256i)codes);
  const __m256 high = _mm256_permutevar8x32_ps(book.high, (__m256i)codes);
  return (F)_mm256_blendv_ps(low, high, (__m256)_mm256_slli_epi32((__m256i)codes, 28));
}
#else
struct Book {
  float values[16];
};
GRAFT_INLINE Book book_of(const float* book) {
  Book own;
  memcpy(own.values, book, sizeof own.values);
  return own;
}
GRAFT_INLINE F pick(const Book& book, I codes) {
  F x;
  for (int i = 0; i < W; ++i) x[i] = book.values[codes[i] & 15];
  return x;
}
#endif

// ---- 16 bytes of two codes each, the high nibble first --------------------------------------------

constexpr int kPairs = 32 / W;  // vectors that 16 bytes fill

#if defined(__AVX2__)
/// The 32 codes as bytes, in order.
GRAFT_INLINE __m256i codes_of(const uint8_t* bytes) {
  const __m128i both = _mm_loadu_si128((const __m128i*)bytes), mask = _mm_set1_epi8(15);
  const __m128i first = _mm_and_si128(_mm_srli_epi16(both, 4), mask);
  const __m128i second = _mm_and_si128(both, mask);
  return _mm256_set_m128i(_mm_unpackhi_epi8(first, second), _mm_unpacklo_epi8(first, second));
}
#endif

#if defined(__AVX2__) && !defined(__AVX512F__)
/// The four bytes of each value: byte[b] has those of number b, twice.
struct Pairs {
  __m256i byte[4];
};
GRAFT_INLINE Pairs pairs_of(const float* book) {
  const __m128i together = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m128i x[4];
  GRAFT_UNROLL
  for (int i = 0; i < 4; ++i)
    x[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i*)(book + 4 * i)), together);
  const __m128i low01 = _mm_unpacklo_epi32(x[0], x[1]), low23 = _mm_unpacklo_epi32(x[2], x[3]);
  const __m128i high01 = _mm_unpackhi_epi32(x[0], x[1]), high23 = _mm_unpackhi_epi32(x[2], x[3]);
  return {{_mm256_broadcastsi128_si256(_mm_unpacklo_epi64(low01, low23)),
           _mm256_broadcastsi128_si256(_mm_unpackhi_epi64(low01, low23)),
           _mm256_broadcastsi128_si256(_mm_unpacklo_epi64(high01, high23)),
           _mm256_broadcastsi128_si256(_mm_unpackhi_epi64(high01, high23))}};
}
/// Codes lie as bytes, each looked up in four books of bytes, whose answers are put together. Fours of
/// codes come out of the halves by turns.
GRAFT_INLINE void look_up_codes(const Pairs& book, __m256i codes, F* out) {
  __m256i b[4];
  GRAFT_UNROLL
  for (int i = 0; i < 4; ++i) b[i] = _mm256_shuffle_epi8(book.byte[i], codes);
  const __m256i low01 = _mm256_unpacklo_epi8(b[0], b[1]), low23 = _mm256_unpacklo_epi8(b[2], b[3]);
  const __m256i high01 = _mm256_unpackhi_epi8(b[0], b[1]);
  const __m256i high23 = _mm256_unpackhi_epi8(b[2], b[3]);
  out[0] = (F)_mm256_unpacklo_epi16(low01, low23);
  out[1] = (F)_mm256_unpackhi_epi16(low01, low23);
  out[2] = (F)_mm256_unpacklo_epi16(high01, high23);
  out[3] = (F)_mm256_unpackhi_epi16(high01, high23);
}
/// In order: fours of elements go to the halves by turns.
GRAFT_INLINE void look_up(const Pairs& book, const uint8_t* bytes, F* out) {
  const __m256i by_turns = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
  look_up_codes(book, _mm256_permutevar8x32_epi32(codes_of(bytes), by_turns), out);
}
/// High nibbles in one half, low ones in the other: eights come out dealt, as deal() has them.
GRAFT_INLINE void look_up_dealt(const Pairs& book, const uint8_t* bytes, F* out) {
  const __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)bytes));
  const __m256i shifts = _mm256_setr_epi32(4, 4, 4, 4, 0, 0, 0, 0);
  look_up_codes(book, _mm256_and_si256(_mm256_srlv_epi32(both, shifts), _mm256_set1_epi8(15)), out);
}
/// Of eight elements those with even numbers first.
GRAFT_INLINE void deal(float* x, int64_t n) {
  const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
  for (int64_t i = 0; i + 8 <= n; i += 8)
    _mm256_storeu_ps(x + i, _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + i), order));
}
#else
typedef Book Pairs;
GRAFT_INLINE Pairs pairs_of(const float* book) {
  return book_of(book);
}
GRAFT_INLINE void look_up(const Pairs& book, const uint8_t* bytes, F* out) {
  GRAFT_UNROLL
  for (int v = 0; v < kPairs; ++v) {
    const uint8_t* at = bytes + v * W / 2;
#if defined(__AVX512F__)
    int32_t words[2];
    memcpy(words, at, 8);
    const __m512i both =
        _mm512_inserti64x4(_mm512_set1_epi32(words[0]), _mm256_set1_epi32(words[1]), 1);
    const __m512i shifts =
        _mm512_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24);
    out[v] = pick(book, (I)_mm512_srlv_epi32(both, shifts));
#else
    I codes;
    for (int i = 0; i < W; ++i) codes[i] = i % 2 ? at[i / 2] & 15 : at[i / 2] >> 4;
    out[v] = pick(book, codes);
#endif
  }
}
GRAFT_INLINE void look_up_dealt(const Pairs& book, const uint8_t* bytes, F* out) {
  look_up(book, bytes, out);
}
GRAFT_INLINE void deal(float*, int64_t) {}
#endif

// ---- the same, of values that are rounded to bf16 already ----------------------------------------

#if defined(__AVX2__)
/// The two bytes of each value, each twice.
struct HalfBook {
  __m256i low, high;
};
GRAFT_INLINE HalfBook half_book(const float* book, float scale) {
  alignas(32) Bf16 values[16];
  GRAFT_UNROLL
  for (int i = 0; i < 16; i += W) store(values + i, load(book + i) * scale);
  const __m128i apart = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
  const __m128i first = _mm_shuffle_epi8(_mm_load_si128((const __m128i*)values), apart);
  const __m128i second = _mm_shuffle_epi8(_mm_load_si128((const __m128i*)(values + 8)), apart);
  return {_mm256_broadcastsi128_si256(_mm_unpacklo_epi64(first, second)),
          _mm256_broadcastsi128_si256(_mm_unpackhi_epi64(first, second))};
}
/// Eights of elements go to the halves by turns, so that they come out in order.
GRAFT_INLINE void look_up(const HalfBook& book, const uint8_t* bytes, Bf16* out) {
  const __m256i codes = _mm256_permute4x64_epi64(codes_of(bytes), 0xd8);
  const __m256i low = _mm256_shuffle_epi8(book.low, codes);
  const __m256i high = _mm256_shuffle_epi8(book.high, codes);
  _mm256_storeu_si256((__m256i*)out, _mm256_unpacklo_epi8(low, high));
  _mm256_storeu_si256((__m256i*)(out + 16), _mm256_unpackhi_epi8(low, high));
}
#endif

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
#endif
