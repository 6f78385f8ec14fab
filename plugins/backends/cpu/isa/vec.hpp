// Vectors of W floats for one instruction set, with gcc's and clang's vector extensions. Everything
// here is in the namespace GRAFT_ISA; nothing of the standard C++ library may be used in isa/.
#ifndef GRAFT_CPU_ISA_VEC_HPP
#define GRAFT_CPU_ISA_VEC_HPP
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "plugins/backends/cpu/kernels.hpp"

#ifdef _OPENMP
#define GRAFT_OMP(...) GRAFT_OMP_TEXT(omp __VA_ARGS__)
#define GRAFT_OMP_TEXT(...) _Pragma(#__VA_ARGS__)
#else
#define GRAFT_OMP(...)
#endif
#ifdef __clang__
#define GRAFT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GRAFT_UNROLL _Pragma("GCC unroll 64")
#endif
#define GRAFT_INLINE static inline __attribute__((always_inline))
#define GRAFT_INLINE_MEMBER inline __attribute__((always_inline))
/// A loop with all registers to itself.
#define GRAFT_APART __attribute__((noinline))

#ifdef _OPENMP
extern "C" int omp_get_thread_num(void) noexcept;
extern "C" int omp_get_num_threads(void) noexcept;
#endif

namespace graft_cpu {
namespace GRAFT_ISA {

GRAFT_INLINE int thread_number() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

/// Threads of the team that runs this now.
GRAFT_INLINE int team_size() {
#ifdef _OPENMP
  return omp_get_num_threads();
#else
  return 1;
#endif
}

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float F __attribute__((vector_size(4 * W)));
typedef int32_t I __attribute__((vector_size(4 * W)));
typedef uint32_t U __attribute__((vector_size(4 * W)));
typedef uint16_t H __attribute__((vector_size(2 * W)));
typedef float Fu __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef uint16_t Hu __attribute__((vector_size(2 * W), aligned(2), may_alias));

GRAFT_INLINE F splat(float x) {
  return x - F{};
}
GRAFT_INLINE I splat_int(int32_t x) {
  return x - I{};
}

/// All W elements; the other choice for a count is a number below W.
struct All {};

// ---- memory -----------------------------------------------------------------------------------

GRAFT_INLINE F load(const float* p, All = {}) {
  return *(const Fu*)p;
}
GRAFT_INLINE void store(float* p, F x, All = {}) {
  *(Fu*)p = x;
}
GRAFT_INLINE F widen(H bits) {
  return (F)(__builtin_convertvector(bits, U) << 16);
}
/// To nearest, ties to even; a NaN becomes quiet.
GRAFT_INLINE U round_bits(F x) {
  const U bits = (U)x;
  const U rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return x == x ? rounded : ((bits >> 16) | 0x40);
}
GRAFT_INLINE F load(const Bf16* p, All = {}) {
  return widen(*(const Hu*)p);
}
GRAFT_INLINE void store(Bf16* p, F x, All = {}) {
  *(Hu*)p = __builtin_convertvector(round_bits(x), H);
}
GRAFT_INLINE F load(const float* p, int n) {
  F x = {};
  for (int i = 0; i < n; ++i) x[i] = p[i];
  return x;
}
GRAFT_INLINE void store(float* p, F x, int n) {
  for (int i = 0; i < n; ++i) p[i] = x[i];
}
GRAFT_INLINE F load(const Bf16* p, int n) {
  U bits = {};
  for (int i = 0; i < n; ++i) bits[i] = (uint32_t)p[i].bits << 16;
  return (F)bits;
}
GRAFT_INLINE void store(Bf16* p, F x, int n) {
  const U bits = round_bits(x);
  for (int i = 0; i < n; ++i) p[i].bits = (uint16_t)bits[i];
}
/// Exact: the fraction is placed and scaled by 2^112; infinity and NaN get the wide exponent.
GRAFT_INLINE F widen_half(H bits) {
  const U wide = __builtin_convertvector(bits, U);
  const U body = (wide & 0x7fff) << 13;
  const U magnitude = (U)((F)body * 0x1p112f);
  const U special = body | 0x7f800000u;
  return (F)((body >= (0x7c00u << 13) ? special : magnitude) | ((wide & 0x8000) << 16));
}
/// To nearest, ties to even; from 65520 on infinity.
GRAFT_INLINE H narrow_half(F x) {
  const U bits = (U)x, body = bits & 0x7fffffffu;
  const U tiny = (U)((F)body + 0.5f) - 0x3f000000u;  // below 2^-14: rounded at the low end
  const U normal = (body + 0xfff + ((body >> 13) & 1) - (112u << 23)) >> 13;
  const U nan = 0x7e00u | ((body >> 13) & 0x3ff), infinity = 0x7c00u - U{};
  U half = body < 0x38800000u ? tiny : normal;
  half = body >= 0x47800000u ? infinity : half;
  half = body > 0x7f800000u ? nan : half;
  return __builtin_convertvector(half | ((bits >> 16) & 0x8000), H);
}
GRAFT_INLINE F load(const F16* p, All = {}) {
  return widen_half(*(const Hu*)p);
}
GRAFT_INLINE void store(F16* p, F x, All = {}) {
  *(Hu*)p = narrow_half(x);
}
GRAFT_INLINE F load(const F16* p, int n) {
  H bits = {};
  for (int i = 0; i < n; ++i) bits[i] = p[i].bits;
  return widen_half(bits);
}
GRAFT_INLINE void store(F16* p, F x, int n) {
  const H bits = narrow_half(x);
  for (int i = 0; i < n; ++i) p[i].bits = bits[i];
}
GRAFT_INLINE float scalar(const float* p) {
  return *p;
}
GRAFT_INLINE float scalar(const Bf16* p) {
  const uint32_t bits = (uint32_t)p->bits << 16;
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
GRAFT_INLINE void put(float* p, float x) {
  *p = x;
}
GRAFT_INLINE void put(Bf16* p, float x) {
  store(p, splat(x), 1);
}
/// x as it reads back after it was stored as T.
template <class T>
GRAFT_INLINE F rounded(F x) {
  if constexpr (sizeof(T) == 4) return x;
  return (F)(round_bits(x) << 16);
}

/// body(j, count) for pieces of n elements: count is All{} or, at the end, a number.
template <class Body>
GRAFT_INLINE void strip(int64_t n, Body body) {
  int64_t j = 0;
  for (; j + W <= n; j += W) body(j, All{});
  if (j < n) body(j, (int)(n - j));
}

// ---- arithmetic ---------------------------------------------------------------------------------

#if defined(__AVX512F__)
GRAFT_INLINE F vmax(F a, F b) {
  return (F)_mm512_max_ps((__m512)a, (__m512)b);
}
GRAFT_INLINE F vmin(F a, F b) {
  return (F)_mm512_min_ps((__m512)a, (__m512)b);
}
GRAFT_INLINE F vsqrt(F a) {
  return (F)_mm512_sqrt_ps((__m512)a);
}
GRAFT_INLINE I nearest(F a) {
  return (I)_mm512_cvtps_epi32((__m512)a);
}
#elif defined(__AVX2__)
GRAFT_INLINE F vmax(F a, F b) {
  return (F)_mm256_max_ps((__m256)a, (__m256)b);
}
GRAFT_INLINE F vmin(F a, F b) {
  return (F)_mm256_min_ps((__m256)a, (__m256)b);
}
GRAFT_INLINE F vsqrt(F a) {
  return (F)_mm256_sqrt_ps((__m256)a);
}
GRAFT_INLINE I nearest(F a) {
  return (I)_mm256_cvtps_epi32((__m256)a);
}
#else
GRAFT_INLINE F vmax(F a, F b) {
  return (F)_mm_max_ps((__m128)a, (__m128)b);
}
GRAFT_INLINE F vmin(F a, F b) {
  return (F)_mm_min_ps((__m128)a, (__m128)b);
}
GRAFT_INLINE F vsqrt(F a) {
  return (F)_mm_sqrt_ps((__m128)a);
}
GRAFT_INLINE I nearest(F a) {
  return (I)_mm_cvtps_epi32((__m128)a);
}
#endif

GRAFT_INLINE float sum(F x) {
  float half[W];
  store(half, x);
  GRAFT_UNROLL
  for (int n = W / 2; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) half[i] += half[i + n];
  return half[0];
}
GRAFT_INLINE float maximum(F x) {
  float m = x[0];
  for (int i = 1; i < W; ++i) m = x[i] > m ? x[i] : m;
  return m;
}
GRAFT_INLINE F absolute(F x) {
  return (F)((U)x & 0x7fffffffu);
}
/// Lanes from n on replaced by `other`.
GRAFT_INLINE F keep(F x, All, float) {
  return x;
}
GRAFT_INLINE F keep(F x, int n, float other) {
  for (int i = n; i < W; ++i) x[i] = other;
  return x;
}

/// 2^n for n from -126 to 127.
GRAFT_INLINE F power_of_two(I n) {
  return (F)((n + 127) << 23);
}

/// e^x to about 1 ulp: x = n ln 2 + r, |r| <= ln 2 / 2, the Taylor polynomial of degree 7; 2^n in two
/// halves, so that overflow and subnormal results come out right.
GRAFT_INLINE F vexp(F x) {
  const F low = splat(-104.0f), high = splat(89.0f);
  const F clamped = x < low ? low : (x > high ? high : x);
  const I n = nearest(clamped * 1.44269504f);
  const F nf = __builtin_convertvector(n, F);
  F r = clamped - nf * 0.693145752f;  // ln 2 in two parts, the first with 15 bits
  r = r - nf * 1.42860682e-6f;
  F p = splat(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const I half = n >> 1;
  return p * power_of_two(half) * power_of_two(n - half);
}

GRAFT_INLINE F sigmoid(F x) {
  return 1.0f / (1.0f + vexp(-x));
}

/// Near 0 the odd Taylor series to x^11, else 1 - 2 / (e^2|x| + 1) with x's sign.
GRAFT_INLINE F vtanh(F x) {
  const F a = absolute(x), z = x * x;
  F p = splat(-1382.0f / 155925);
  p = p * z + 62.0f / 2835;
  p = p * z - 17.0f / 315;
  p = p * z + 2.0f / 15;
  p = p * z - 1.0f / 3;
  const F near = x + x * z * p;
  const F far = 1.0f - 2.0f / (vexp(2.0f * a) + 1.0f);
  const F sign = (F)((U)x & 0x80000000u);
  return a < 0.35f ? near : (F)((U)far | (U)sign);
}

GRAFT_INLINE F verf(F x) {
  for (int i = 0; i < W; ++i) x[i] = ::erff(x[i]);
  return x;
}

// ---- loops --------------------------------------------------------------------------------------

/// Where row `index` begins in view i, in elements.
GRAFT_INLINE int64_t offset(const Nest& nest, int64_t index, int i) {
  if (nest.ndim == 1) return index * nest.stride[0][i];
  int64_t at = 0;
  for (int d = nest.ndim - 1; d >= 0; --d) {
    at += index % nest.extent[d] * nest.stride[d][i];
    index /= nest.extent[d];
  }
  return at;
}
template <class T>
GRAFT_INLINE T* row(const RowCall& c, int64_t index, int i) {
  return (T*)c.data[i] + offset(c.nest, index, i);
}

/// Below this many elements a second thread costs more than it brings.
constexpr int64_t kParallel = 8192;

template <class T>
struct As {
  typedef T type;
};
/// f(As<float>{}) or f(As<Bf16>{}).
template <class Call>
GRAFT_INLINE void with_type(Type type, Call f) {
  if (type == kBf16)
    f(As<Bf16>{});
  else
    f(As<float>{});
}

template <class T>
GRAFT_INLINE T least(T a, T b) {
  return a < b ? a : b;
}
template <class T>
GRAFT_INLINE T most(T a, T b) {
  return a > b ? a : b;
}
GRAFT_INLINE int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
GRAFT_INLINE int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
#endif
