#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // -O2 of gcc 12 leaves these loops scalar
#endif

#include "core/tensor/block_encode.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/error.hpp"
#include "core/tensor/block_formats.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

using Out = std::uint8_t*;

void put_half(Out at, float value) {
  const std::uint16_t half = float_to_f16(value);
  std::memcpy(at, &half, sizeof half);
}

/// What is read back of it.
float as_half(float value) {
  return f16_to_float(float_to_f16(value));
}

/// 1 / d, and 0 where there is no such number.
float inverse_of(float d) {
  const float inverse = 1 / d;
  return std::isfinite(inverse) ? inverse : 0;
}

/// The nearest integer, for magnitudes below 2^22: the sum's low bits.
int nearest(float x) {
  return static_cast<int>(std::bit_cast<std::uint32_t>(x + 12582912.0f) & 0x7fffff) - 0x400000;
}

// ---- 32 elements, as the gguf package does it ----------------------------------------------------

float largest(const float* x) {
  float most = x[0];
  for (int i = 1; i < 32; ++i) most = std::fabs(x[i]) > std::fabs(most) ? x[i] : most;
  return most;
}

/// Low nibbles are the first 16 elements, high nibbles the last 16.
void put_nibbles(Out at, const int* codes) {
  for (int j = 0; j < 16; ++j) {
    at[j] = static_cast<std::uint8_t>((codes[j] & 15) | (codes[j + 16] & 15) << 4);
  }
}

void put_fifth_bits(Out at, const int* codes) {
  std::uint32_t bits = 0;
  for (int j = 0; j < 32; ++j) bits |= static_cast<std::uint32_t>(codes[j] >> 4) << j;
  std::memcpy(at, &bits, sizeof bits);
}

/// Codes of values between -d Half and d Half; d has the sign that makes the largest one -Half.
template <int Half>
float signed_codes(const float* x, int* codes) {
  const float d = largest(x) / -Half, inverse = inverse_of(d);
  for (int i = 0; i < 32; ++i) {
    const float place = x[i] * inverse;
    codes[i] = std::min(static_cast<int>(place + (Half + 0.5f)), 2 * Half - 1);
  }
  return d;
}

/// Codes above the minimum.
template <int Top>
float unsigned_codes(const float* x, int* codes, float* minimum) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  const float d = (*high - *low) / Top, inverse = inverse_of(d);
  *minimum = *low;
  for (int i = 0; i < 32; ++i) {
    const float place = (x[i] - *low) * inverse;
    codes[i] = std::min(static_cast<int>(std::trunc(place + 0.5f)), Top);
  }
  return d;
}

void q4_0(const float* x, Out block) {
  int codes[32];
  put_half(block, signed_codes<8>(x, codes));
  put_nibbles(block + 2, codes);
}

void q5_0(const float* x, Out block) {
  int codes[32];
  put_half(block, signed_codes<16>(x, codes));
  put_fifth_bits(block + 2, codes);
  put_nibbles(block + 6, codes);
}

void q4_1(const float* x, Out block) {
  int codes[32];
  float minimum = 0;
  put_half(block, unsigned_codes<15>(x, codes, &minimum));
  put_half(block + 2, minimum);
  put_nibbles(block + 4, codes);
}

void q5_1(const float* x, Out block) {
  int codes[32];
  float minimum = 0;
  put_half(block, unsigned_codes<31>(x, codes, &minimum));
  put_half(block + 2, minimum);
  put_fifth_bits(block + 4, codes);
  put_nibbles(block + 8, codes);
}

void q8_0(const float* x, Out block) {
  const float d = std::fabs(largest(x)) / 127, inverse = inverse_of(d);
  put_half(block, d);
  for (int i = 0; i < 32; ++i) {  // halves go away from zero
    const float place = x[i] * inverse, size = std::fabs(place), whole = std::floor(size);
    const int code = static_cast<int>(whole + std::floor(2 * (size - whole)));
    block[2 + i] = static_cast<std::uint8_t>(place < 0 ? -code : code);
  }
}

// ---- Searched scales -----------------------------------------------------------------------------

/// Sums over elements, eight at a time: in an order that the compiler may do at once.
template <int N, class F>
float sum(F term) {
  float lanes[8] = {};
  for (int i = 0; i < N; i += 8) {
    for (int j = 0; j < 8; ++j) lanes[j] += term(i + j);
  }
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) +
         ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

/// x ~ scale code - minimum with codes 0 .. top and a minimum that is not below 0.
struct Affine {
  float scale = 0, minimum = 0;
};

/// Tries ranges around that of the values; for the codes of each the best scale and minimum are those
/// of least squares, larger values weighing more.
template <int N>
Affine fit_affine(const float* x, int top) {
  const auto [least, most] = std::minmax_element(x, x + N);
  const float low = std::min(*least, 0.0f), range = *most - low;
  const float inverse = inverse_of(range);
  if (!(range > 0) || inverse == 0) return {0, -low};
  const float usual = std::sqrt(sum<N>([&](int i) { return x[i] * x[i]; }) / N);
  float w[N], code[N];
  for (int i = 0; i < N; ++i) w[i] = usual + std::fabs(x[i]);
  const float sw = sum<N>([&](int i) { return w[i]; });
  const float sx = sum<N>([&](int i) { return w[i] * x[i]; });
  Affine best{range / static_cast<float>(top), -low};
  float least_error = INFINITY;
  for (int step = -10; step <= 10; ++step) {
    const float factor = (static_cast<float>(top) + 0.1f * static_cast<float>(step)) * inverse;
    for (int i = 0; i < N; ++i) {
      code[i] = static_cast<float>(std::clamp(nearest((x[i] - low) * factor), 0, top));
    }
    const float sc = sum<N>([&](int i) { return w[i] * code[i]; });
    const float scc = sum<N>([&](int i) { return w[i] * code[i] * code[i]; });
    const float sxc = sum<N>([&](int i) { return w[i] * x[i] * code[i]; });
    const float determinant = sw * scc - sc * sc;
    if (!(determinant > 0) || !(scc > 0)) continue;
    Affine now{(sw * sxc - sx * sc) / determinant, (sc * sxc - scc * sx) / determinant};
    if (now.minimum < 0) now = {sxc / scc, 0};
    const float error = sum<N>([&](int i) {
      const float e = now.scale * code[i] - now.minimum - x[i];
      return w[i] * e * e;
    });
    if (error < least_error && now.scale > 0) {
      least_error = error;
      best = now;
    }
  }
  return best;
}

/// The scale of x ~ scale code, codes being what `code_of` makes of x / scale. `reach` is the code of
/// largest magnitude, which the largest value has first; its sign is that of the scale's direction.
template <int N, class Code>
float fit_scale(const float* x, float reach, Code code_of) {
  float most = 0;
  for (int i = 0; i < N; ++i) most = std::fabs(x[i]) > std::fabs(most) ? x[i] : most;
  const float inverse = inverse_of(most);
  if (inverse == 0) return 0;
  float best = 0, gain = 0, code[N];
  for (int step = -9; step <= 9; ++step) {
    const float factor = (reach + std::copysign(0.1f, reach) * static_cast<float>(step)) * inverse;
    for (int i = 0; i < N; ++i) code[i] = code_of(x[i] * factor);
    const float sxc = sum<N>([&](int i) { return x[i] * x[i] * x[i] * code[i]; });
    const float scc = sum<N>([&](int i) { return x[i] * x[i] * code[i] * code[i]; });
    // What is explained of the weighted squares.
    if (scc > 0 && sxc * sxc > gain * scc) {
      gain = sxc * sxc / scc;
      best = sxc / scc;
    }
  }
  return best;
}

/// 256 elements in groups with a scale and a minimum each, which are codes themselves.
template <int Size, int Top, int ScaleTop>
struct AffineBlock {
  static constexpr int groups = 256 / Size;
  float d = 0, dmin = 0;
  int scale[groups] = {}, minimum[groups] = {};
  int code[256] = {};

  explicit AffineBlock(const float* x) {
    Affine fit[groups];
    float most_scale = 0, most_minimum = 0;
    for (int g = 0; g < groups; ++g) {
      fit[g] = fit_affine<Size>(x + g * Size, Top);
      most_scale = std::max(most_scale, fit[g].scale);
      most_minimum = std::max(most_minimum, fit[g].minimum);
    }
    d = as_half(most_scale / ScaleTop);
    dmin = as_half(most_minimum / ScaleTop);
    const float per_scale = inverse_of(d), per_minimum = inverse_of(dmin);
    for (int g = 0; g < groups; ++g) {
      scale[g] = std::clamp(nearest(fit[g].scale * per_scale), 0, ScaleTop);
      minimum[g] = std::clamp(nearest(fit[g].minimum * per_minimum), 0, ScaleTop);
      const float offset = dmin * static_cast<float>(minimum[g]);
      const float per_code = inverse_of(d * static_cast<float>(scale[g]));
      for (int i = g * Size; i < (g + 1) * Size; ++i) {
        const float place = (x[i] + offset) * per_code;
        code[i] = nearest(std::clamp(place, 0.0f, static_cast<float>(Top)));
      }
    }
  }
};

/// 256 elements in groups of 16 with a signed scale each, a code itself; codes -Half .. Half - 1.
template <int Half, int ScaleHalf>
struct SignedBlock {
  float d = 0;
  int scale[16] = {};
  int code[256] = {};

  explicit SignedBlock(const float* x) {
    const auto rounded = [](float place) {
      return static_cast<float>(
          nearest(std::clamp(place, static_cast<float>(-Half), static_cast<float>(Half - 1))));
    };
    float fit[16], most = 0;
    for (int g = 0; g < 16; ++g) {
      fit[g] = fit_scale<16>(x + g * 16, -Half, rounded);
      most = std::fabs(fit[g]) > std::fabs(most) ? fit[g] : most;
    }
    d = as_half(most / -ScaleHalf);
    const float per_scale = inverse_of(d);
    for (int g = 0; g < 16; ++g) {
      const float place = fit[g] * per_scale;
      scale[g] = nearest(
          std::clamp(place, static_cast<float>(-ScaleHalf), static_cast<float>(ScaleHalf - 1)));
      const float per_code = inverse_of(d * static_cast<float>(scale[g]));
      for (int i = g * 16; i < (g + 1) * 16; ++i) {
        code[i] = static_cast<int>(rounded(x[i] * per_code));
      }
    }
  }
};

/// Ors bits into a byte.
void add_bits(std::uint8_t& byte, int bits) {
  byte = static_cast<std::uint8_t>(byte | bits);
}

void q2_k(const float* x, Out block) {
  const AffineBlock<16, 3, 15> b(x);
  std::memset(block, 0, 84);
  for (int g = 0; g < 16; ++g) {
    block[g] = static_cast<std::uint8_t>(b.scale[g] | b.minimum[g] << 4);
  }
  for (int i = 0; i < 256; ++i) {
    add_bits(block[16 + i / 128 * 32 + i % 32], b.code[i] << i % 128 / 32 * 2);
  }
  put_half(block + 80, b.d);
  put_half(block + 82, b.dmin);
}

void q3_k(const float* x, Out block) {
  const SignedBlock<4, 32> b(x);
  std::memset(block, 0, 110);
  for (int i = 0; i < 256; ++i) {
    const int code = b.code[i] + 4;
    add_bits(block[i % 32], (code >> 2) << i / 32);
    add_bits(block[32 + i / 128 * 32 + i % 32], (code & 3) << i % 128 / 32 * 2);
  }
  for (int g = 0; g < 16; ++g) {
    const int scale = b.scale[g] + 32;
    add_bits(block[96 + g % 8], (scale & 15) << g / 8 * 4);
    add_bits(block[104 + g % 4], (scale >> 4) << g / 4 * 2);
  }
  put_half(block + 108, b.d);
}

/// Scale and minimum of eight groups, six bits each, in 12 bytes.
void put_six_bits(Out at, const int* scale, const int* minimum) {
  std::memset(at, 0, 12);
  for (int j = 0; j < 4; ++j) {
    add_bits(at[j], scale[j] | (scale[j + 4] >> 4) << 6);
    add_bits(at[j + 4], minimum[j] | (minimum[j + 4] >> 4) << 6);
    add_bits(at[j + 8], (scale[j + 4] & 15) | (minimum[j + 4] & 15) << 4);
  }
}

void q4_k(const float* x, Out block) {
  const AffineBlock<32, 15, 63> b(x);
  std::memset(block, 0, 144);
  put_half(block, b.d);
  put_half(block + 2, b.dmin);
  put_six_bits(block + 4, b.scale, b.minimum);
  for (int i = 0; i < 256; ++i) {
    add_bits(block[16 + i / 64 * 32 + i % 32], b.code[i] << i % 64 / 32 * 4);
  }
}

void q5_k(const float* x, Out block) {
  const AffineBlock<32, 31, 63> b(x);
  std::memset(block, 0, 176);
  put_half(block, b.d);
  put_half(block + 2, b.dmin);
  put_six_bits(block + 4, b.scale, b.minimum);
  for (int i = 0; i < 256; ++i) {
    add_bits(block[16 + i % 32], (b.code[i] >> 4) << i / 32);
    add_bits(block[48 + i / 64 * 32 + i % 32], (b.code[i] & 15) << i % 64 / 32 * 4);
  }
}

void q6_k(const float* x, Out block) {
  const SignedBlock<32, 128> b(x);
  std::memset(block, 0, 210);
  for (int i = 0; i < 256; ++i) {
    const int code = b.code[i] + 32, half = i / 128, quarter = i % 128 / 32;
    add_bits(block[64 * half + 32 * (quarter % 2) + i % 32], (code & 15) << quarter / 2 * 4);
    add_bits(block[128 + 32 * half + i % 32], (code >> 4) << 2 * quarter);
  }
  for (int g = 0; g < 16; ++g) block[192 + g] = static_cast<std::uint8_t>(b.scale[g]);
  put_half(block + 208, b.d);
}

void iq4_nl(const float* x, Out block) {
  constexpr float table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};
  const auto code_of = [&](float place) {
    int code = 0;
    for (int k = 0; k < 15; ++k) code += place > (table[k] + table[k + 1]) / 2;
    return code;
  };
  const float scale = fit_scale<32>(x, -127, [&](float place) { return table[code_of(place)]; });
  const float d = as_half(scale), inverse = inverse_of(d);
  int codes[32];
  for (int i = 0; i < 32; ++i) codes[i] = code_of(x[i] * inverse);
  put_half(block, d);
  put_nibbles(block + 2, codes);
}

struct Encoder {
  std::string_view name;
  void (*encode)(const float* values, Out block);
};

constexpr Encoder encoders[] = {{"q4_0", q4_0}, {"q4_1", q4_1}, {"q5_0", q5_0},    {"q5_1", q5_1},
                                {"q8_0", q8_0}, {"q2_k", q2_k}, {"q3_k", q3_k},    {"q4_k", q4_k},
                                {"q5_k", q5_k}, {"q6_k", q6_k}, {"iq4_nl", iq4_nl}};

}  // namespace

void encode_block_row(std::string_view format, const float* values, std::byte* out,
                      std::int64_t count) {
  const BlockFormat& known = block_format(format);
  if (count < 0 || count % known.elements != 0) {
    throw Error(GRAFT_E_INVALID,
                cat("encode_block_row: ", count, " elements are no whole number of ", known.name,
                    " blocks of ", known.elements, "."));
  }
  const auto* found = std::find_if(std::begin(encoders), std::end(encoders),
                                   [&](const Encoder& e) { return e.name == known.name; });
  auto* block = reinterpret_cast<Out>(out);
  for (; count > 0; count -= known.elements) {
    found->encode(values, block);
    values += known.elements;
    block += known.bytes;
  }
}

}  // namespace graft::core
