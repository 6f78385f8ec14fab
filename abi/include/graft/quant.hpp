// graft/quant.hpp: the block formats of graft_quant as plain code, each in the arithmetic that
// defines it: F32, every operation rounded. Header-only, C++17, without the standard library; every
// function is local to the file that includes it, so it can be compiled for several instruction sets.
#ifndef GRAFT_QUANT_HPP
#define GRAFT_QUANT_HPP
#include <graft/types.h>
#include <string.h>

namespace graft {
namespace quant {

enum Format : int32_t {
  kUnknown,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kIq4Nl,
  kQ2K,
  kQ3K,
  kQ4K,
  kQ5K,
  kQ6K,
  kBook4,  // nf4, fp4
  kInt8
};

static inline Format format_of(const char* name) {
  struct Known {
    const char* name;
    Format format;
  };
  const Known known[] = {{"q4_0", kQ4_0}, {"q4_1", kQ4_1},    {"q5_0", kQ5_0}, {"q5_1", kQ5_1},
                         {"q8_0", kQ8_0}, {"iq4_nl", kIq4Nl}, {"q2_k", kQ2K},  {"q3_k", kQ3K},
                         {"q4_k", kQ4K},  {"q5_k", kQ5K},     {"q6_k", kQ6K},  {"nf4", kBook4},
                         {"fp4", kBook4}, {"int8", kInt8}};
  for (const Known& one : known)
    if (name && strcmp(one.name, name) == 0) return one.format;
  return kUnknown;
}

typedef const uint8_t* Bytes;

static inline float from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
static inline uint32_t u32_at(Bytes at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return value;
}
/// An IEEE half.
static inline float f16_at(Bytes at) {
  const uint32_t half = (uint32_t)at[0] | (uint32_t)at[1] << 8;
  const uint32_t sign = (half & 0x8000) << 16, body = (half & 0x7fff) << 13;
  const uint32_t normal = body + (112u << 23);
  if (body >= (0x7c00u << 13)) return from_bits(sign | (normal + (112u << 23)));
  if (body >= (0x0400u << 13)) return from_bits(sign | normal);
  const float tiny = from_bits(normal + (1u << 23)) - from_bits(113u << 23);
  return sign ? -tiny : tiny;
}

// ---- 32 elements: a scale, perhaps a minimum, then the codes -----------------------------------
// Low nibbles are the first 16 elements, high nibbles the last 16.

// d; qs[16]
static inline void q4_0(Bytes block, float* out) {
  const float d = f16_at(block);
  for (int j = 0; j < 16; ++j) {
    out[j] = (float)((block[2 + j] & 15) - 8) * d;
    out[j + 16] = (float)((block[2 + j] >> 4) - 8) * d;
  }
}

// d, m; qs[16]
static inline void q4_1(Bytes block, float* out) {
  const float d = f16_at(block), m = f16_at(block + 2);
  for (int j = 0; j < 16; ++j) {
    out[j] = (float)(block[4 + j] & 15) * d + m;
    out[j + 16] = (float)(block[4 + j] >> 4) * d + m;
  }
}

// Codes of the 5-bit formats: bit j of `high` is the fifth bit of element j.
static inline void five_bits(Bytes qs, uint32_t high, int* codes) {
  for (int j = 0; j < 16; ++j) {
    codes[j] = (qs[j] & 15) | (int)(((high >> j) & 1) << 4);
    codes[j + 16] = (qs[j] >> 4) | (int)(((high >> (j + 16)) & 1) << 4);
  }
}

// d; qh[4]; qs[16]
static inline void q5_0(Bytes block, float* out) {
  const float d = f16_at(block);
  int codes[32];
  five_bits(block + 6, u32_at(block + 2), codes);
  for (int j = 0; j < 32; ++j) out[j] = (float)(codes[j] - 16) * d;
}

// d, m; qh[4]; qs[16]
static inline void q5_1(Bytes block, float* out) {
  const float d = f16_at(block), m = f16_at(block + 2);
  int codes[32];
  five_bits(block + 8, u32_at(block + 4), codes);
  for (int j = 0; j < 32; ++j) out[j] = (float)codes[j] * d + m;
}

// d; qs[32], signed
static inline void q8_0(Bytes block, float* out) {
  const float d = f16_at(block);
  for (int j = 0; j < 32; ++j) out[j] = (float)(int8_t)block[2 + j] * d;
}

// d; qs[16], nibbles being indices of a table
static inline void iq4_nl(Bytes block, float* out) {
  const float table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
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
static inline void q2_k(Bytes block, float* out) {
  const Bytes scales = block, qs = block + 16;
  const float d = f16_at(block + 80), dmin = f16_at(block + 82);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * (float)(scales[group] & 15);
    const float minimum = dmin * (float)(scales[group] >> 4);
    const Bytes q = qs + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    for (int l = 0; l < 16; ++l)
      out[16 * group + l] = scale * (float)((q[l] >> shift) & 3) - minimum;
  }
}

// hmask[32]; qs[64]; scales[12]; d
// Codes lie as in q2_k; bit b of hmask[l] is the third bit of element 32 b + l, 4 being taken off
// where it is 0. Scales have 6 bits less 32: low nibbles in 8 bytes, high pairs in 4.
static inline void q3_k(Bytes block, float* out) {
  const Bytes hmask = block, qs = block + 32, scales = block + 96;
  const float d = f16_at(block + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = (scales[group % 8] >> (group / 8 * 4)) & 15;
    const int high = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
    const float scale = d * (float)((low | high << 4) - 32);
    const Bytes q = qs + group / 8 * 32 + group % 2 * 16, h = hmask + group % 2 * 16;
    const int shift = group % 8 / 2 * 2, bit = group / 2;
    for (int l = 0; l < 16; ++l) {
      const int code = ((q[l] >> shift) & 3) + ((h[l] >> bit) & 1) * 4 - 4;
      out[16 * group + l] = scale * (float)code;
    }
  }
}

// Scale and minimum of sub-block j out of the 12 bytes that q4_k and q5_k share.
static inline void six_bits(Bytes scales, int j, int* scale, int* minimum) {
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
static inline void q4_k(Bytes block, float* out) {
  const float d = f16_at(block), dmin = f16_at(block + 2);
  for (int j = 0; j < 8; ++j) {
    int sc = 0, mn = 0;
    six_bits(block + 4, j, &sc, &mn);
    const float scale = d * (float)sc, minimum = dmin * (float)mn;
    const Bytes q = block + 16 + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int l = 0; l < 32; ++l) out[32 * j + l] = scale * (float)((q[l] >> shift) & 15) - minimum;
  }
}

// d, dmin; scales[12]; qh[32]; qs[128]; bit j of qh[l] is the fifth bit of element l of sub-block j
static inline void q5_k(Bytes block, float* out) {
  const float d = f16_at(block), dmin = f16_at(block + 2);
  const Bytes high = block + 16;
  for (int j = 0; j < 8; ++j) {
    int sc = 0, mn = 0;
    six_bits(block + 4, j, &sc, &mn);
    const float scale = d * (float)sc, minimum = dmin * (float)mn;
    const Bytes q = block + 48 + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int l = 0; l < 32; ++l) {
      const int code = ((q[l] >> shift) & 15) | ((high[l] >> j) & 1) << 4;
      out[32 * j + l] = scale * (float)code - minimum;
    }
  }
}

// ql[128]; qh[64]; scales[16], signed; d
// Two halves of 128 elements; in each, quarter k of 32 elements takes the low or high nibbles of
// ql[32 (k % 2) ..] and bits 2k of qh.
static inline void q6_k(Bytes block, float* out) {
  const float d = f16_at(block + 208);
  for (int quarter = 0; quarter < 8; ++quarter) {
    const int half = quarter / 4, k = quarter % 4;
    const Bytes low = block + 64 * half + 32 * (k % 2), high = block + 128 + 32 * half;
    const Bytes scales = block + 192 + 8 * half + 2 * k;
    const int low_shift = k / 2 * 4, high_shift = 2 * k;
    for (int part = 0; part < 2; ++part) {
      const float scale = d * (float)(int8_t)scales[part];
      for (int l = 16 * part; l < 16 * part + 16; ++l) {
        const int code = ((low[l] >> low_shift) & 15) | ((high[l] >> high_shift) & 3) << 4;
        out[32 * quarter + l] = scale * (float)(code - 32);
      }
    }
  }
}

static inline void expand_block(Format format, Bytes block, float* out) {
  switch (format) {
    case kQ4_0:
      return q4_0(block, out);
    case kQ4_1:
      return q4_1(block, out);
    case kQ5_0:
      return q5_0(block, out);
    case kQ5_1:
      return q5_1(block, out);
    case kQ8_0:
      return q8_0(block, out);
    case kIq4Nl:
      return iq4_nl(block, out);
    case kQ2K:
      return q2_k(block, out);
    case kQ3K:
      return q3_k(block, out);
    case kQ4K:
      return q4_k(block, out);
    case kQ5K:
      return q5_k(block, out);
    case kQ6K:
      return q6_k(block, out);
    default:
      return;
  }
}

constexpr float kInt8Step = 7.874015748031496e-3f;  // 1 / 127

// ---- matrices -----------------------------------------------------------------------------------

/// Scale of block `b` of an nf4 or fp4 matrix.
static inline float book_scale(const graft_quant* q, int64_t b) {
  if (!q->aux[1]) return ((const float*)q->aux[0])[b];
  const float* map = (const float*)q->aux[3];
  float scale = map[((Bytes)q->aux[0])[b]] * ((const float*)q->aux[1])[b / 256];
#if defined(__x86_64__)
  __asm__("" : "+x"(scale));  // rounded here: not to be contracted with the addition
#else
  volatile float rounded = scale;
  scale = rounded;
#endif
  return scale + map[256];
}

static inline void expand_book(const graft_quant* q, int64_t first, int64_t n, float* out) {
  const Bytes data = (Bytes)q->data;
  const float* book = (const float*)q->aux[2];
  for (int64_t i = 0; i < n;) {
    const int64_t block = (first + i) / q->block_elements;
    const int64_t end = (block + 1) * q->block_elements - first;
    const float scale = book_scale(q, block);
    for (; i < n && i < end; ++i) {
      const int byte = data[(first + i) >> 1];
      out[i] = book[(first + i) & 1 ? byte & 15 : byte >> 4] * scale;
    }
  }
}

/// Whether sizes and buffers are those of a format that is known here.
static inline bool consistent(const graft_quant* q) {
  const Format format = format_of(q->format);
  if (format == kUnknown || q->rows < 0 || q->columns < 0 || q->block_elements < 1) return false;
  if (format == kBook4) return q->block_elements % 2 == 0;
  return q->columns % q->block_elements == 0 &&
         q->block_elements <= (format == kInt8 ? INT64_MAX : 256);
}

/// Whether a view of shape [rows, columns] and these strides is the matrix, or the transposed one.
static inline bool is_transposed(const graft_quant* q, const int64_t* shape,
                                 const int64_t* stride) {
  return shape[0] != q->rows || shape[1] != q->columns || (q->rows == q->columns && stride[1] != 1);
}

/// Elements [column, column + n) of row `row`, in F32. `format` is format_of(q->format).
static inline void expand(const graft_quant* q, Format format, int64_t row, int64_t column,
                          int64_t n, float* out) {
  if (format == kBook4) return expand_book(q, row * q->columns + column, n, out);
  if (format == kInt8) {
    const int8_t* codes = (const int8_t*)q->data + row * q->columns + column;
    const float scale = ((const float*)q->aux[0])[row];
    for (int64_t i = 0; i < n; ++i) out[i] = (float)codes[i] * scale * kInt8Step;
    return;
  }
  const int64_t size = q->block_elements;
  Bytes block = (Bytes)q->data + (row * (q->columns / size) + column / size) * q->block_bytes;
  int64_t skip = column % size;
  while (n > 0) {
    if (skip == 0 && n >= size) {
      expand_block(format, block, out);
      out += size;
      n -= size;
    } else {  // a part of a block
      float whole[256];
      expand_block(format, block, whole);
      const int64_t part = size - skip < n ? size - skip : n;
      memcpy(out, whole + skip, (size_t)part * sizeof(float));
      out += part;
      n -= part;
      skip = 0;
    }
    block += q->block_bytes;
  }
}

}  // namespace quant
}  // namespace graft
#endif
