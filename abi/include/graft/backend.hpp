// graft/backend.hpp: what any backend in C++ wants beside plugin.h: attributes, errors, 16-bit
// floats, the random words of "dropout/1", loops over strided views. Header-only, C++20, hidden
// symbols, no state; nothing of it crosses the border of the plugin.
#ifndef GRAFT_BACKEND_HPP
#define GRAFT_BACKEND_HPP
#include <graft/plugin.h>

#include <array>
#include <bit>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>

#pragma GCC visibility push(hidden)
namespace graft::backend {

// ---- errors
// ------------------------------------------------------------------------------------

/// Fills `error` (may be NULL) from a printf format and returns `code`. A text that is too long
/// is cut at a code point.
__attribute__((format(printf, 3, 4))) inline graft_status fail(graft_error* error,
                                                               graft_status code,
                                                               const char* format, ...) {
  if (!error) return code;
  error->code = code;
  error->reserved = 0;
  std::va_list args;
  va_start(args, format);
  const int wanted = std::vsnprintf(error->message, sizeof error->message, format, args);
  va_end(args);
  if (wanted >= static_cast<int>(sizeof error->message)) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(error->message[i]); };
    std::size_t end = sizeof error->message - 1, last = end - 1;
    while (last > 0 && (byte(last) & 0xC0) == 0x80) --last;  // to where the last code point begins
    const std::size_t length = byte(last) < 0xC0   ? 1
                               : byte(last) < 0xE0 ? 2
                               : byte(last) < 0xF0 ? 3
                                                   : 4;
    if (last + length > end) end = last;
    error->message[end] = '\0';
  }
  return code;
}

/// A kernel's first line: GRAFT_OK when there are min_in to max_in inputs and n_out outputs at
/// least.
inline graft_status check_counts(const graft_kernel_args* args, const char* kernel,
                                 std::uint32_t min_in, std::uint32_t max_in, std::uint32_t n_out,
                                 graft_error* error) {
  if (args->n_in >= min_in && args->n_in <= max_in && args->n_out >= n_out) return GRAFT_OK;
  return fail(error, GRAFT_E_INVALID, "%s: %u inputs and %u outputs, needs %u to %u and %u", kernel,
              args->n_in, args->n_out, min_in, max_in, n_out);
}

// ---- attributes
// --------------------------------------------------------------------------------

inline const graft_attr* find_attr(const graft_kernel_args* args, const char* name) {
  for (std::uint32_t i = 0; i < args->n_attr; ++i)
    if (std::strcmp(args->attr[i].name, name) == 0) return &args->attr[i];
  return nullptr;
}

/// A flag or integer; `missing` where it is not given.
inline std::int64_t attr_i(const graft_kernel_args* args, const char* name,
                           std::int64_t missing = 0) {
  const graft_attr* attr = find_attr(args, name);
  return attr ? attr->i : missing;
}

/// A real number; `missing` where it is not given.
inline double attr_f(const graft_kernel_args* args, const char* name, double missing = 0) {
  const graft_attr* attr = find_attr(args, name);
  return attr ? attr->f : missing;
}

// ---- element types
// -----------------------------------------------------------------------------

struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

/// `value` as a float whose lowest bit also says whether something was lost ("round to odd"):
/// rounding it once more to 16 bits gives what one rounding of `value` would have given.
inline float to_float_odd(double value) {
  const float near = static_cast<float>(value);
  const double back = near;
  if (back == value || value != value) return near;
  auto bits = std::bit_cast<std::uint32_t>(near);
  if ((back > value) == (value > 0)) bits -= 1;  // truncate toward zero
  return std::bit_cast<float>(bits | 1);
}

inline float to_float(Bf16 value) {
  return std::bit_cast<float>(std::uint32_t{value.bits} << 16);
}

/// Rounds to nearest, ties to even. A NaN becomes quiet and keeps its sign.
inline Bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const std::uint32_t nan = (bits >> 16) | 0x40;
  return {static_cast<std::uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded)};
}
inline Bf16 to_bf16(double value) {
  return to_bf16(to_float_odd(value));
}

inline float to_float(F16 value) {
  const std::uint32_t sign = (std::uint32_t{value.bits} & 0x8000) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 0x1f, fraction = value.bits & 0x3ff;
  if (exponent == 0) {  // fraction * 2^-24, exact
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

/// Rounds to nearest, ties to even; from 65520 on it becomes infinity. NaN as in to_bf16.
inline F16 to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000, body = bits & 0x7fffffff;
  std::uint32_t half;
  if (body > 0x7f800000) {
    half = 0x7e00 | ((body >> 13) & 0x3ff);
  } else if (body >= 0x47800000) {  // 65536
    half = 0x7c00;
  } else if (body < 0x38800000) {  // below 2^-14: adding 0.5 leaves the rounded bits at the low end
    half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(body) + 0.5f) - 0x3f000000;
  } else {
    half = (body + 0xfff + ((body >> 13) & 1) - (112u << 23)) >> 13;
  }
  return {static_cast<std::uint16_t>(sign | half)};
}
inline F16 to_f16(double value) {
  return to_f16(to_float_odd(value));
}

inline double to_double(double value) {
  return value;
}
inline double to_double(float value) {
  return static_cast<double>(value);
}
inline double to_double(Bf16 value) {
  return static_cast<double>(to_float(value));
}
inline double to_double(F16 value) {
  return static_cast<double>(to_float(value));
}
inline double to_double(std::int32_t value) {
  return static_cast<double>(value);
}

/// Rounds once, to nearest. To I32: toward zero, saturating, NaN becomes 0.
template <typename T>
T from_double(double value) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return to_bf16(value);
  } else if constexpr (std::is_same_v<T, F16>) {
    return to_f16(value);
  } else if constexpr (std::is_same_v<T, std::int32_t>) {
    if (value != value) return 0;
    if (value >= 2147483647.0) return INT32_MAX;
    if (value <= -2147483648.0) return INT32_MIN;
    return static_cast<std::int32_t>(value);
  } else {
    return static_cast<T>(value);
  }
}

template <typename T>
constexpr std::uint32_t dtype_of() {
  if constexpr (std::is_same_v<T, double>) return GRAFT_F64;
  if constexpr (std::is_same_v<T, float>) return GRAFT_F32;
  if constexpr (std::is_same_v<T, F16>) return GRAFT_F16;
  if constexpr (std::is_same_v<T, Bf16>) return GRAFT_BF16;
  if constexpr (std::is_same_v<T, std::int32_t>) return GRAFT_I32;
  return 0;
}

/// Bytes of one element; 0 for an unknown dtype and for blocks.
inline std::size_t dtype_bytes(std::uint32_t dtype) {
  switch (dtype) {
    case GRAFT_F64:
    case GRAFT_I64:
      return 8;
    case GRAFT_F32:
    case GRAFT_I32:
      return 4;
    case GRAFT_F16:
    case GRAFT_BF16:
      return 2;
    case GRAFT_I8:
    case GRAFT_U8:
      return 1;
    default:
      return 0;
  }
}

inline const char* dtype_name(std::uint32_t dtype) {
  switch (dtype) {
    case GRAFT_F64:
      return "f64";
    case GRAFT_F32:
      return "f32";
    case GRAFT_F16:
      return "f16";
    case GRAFT_BF16:
      return "bf16";
    case GRAFT_I8:
      return "i8";
    case GRAFT_U8:
      return "u8";
    case GRAFT_I32:
      return "i32";
    case GRAFT_I64:
      return "i64";
    case GRAFT_QUANT:
      return "quant";
    default:
      return "unknown";
  }
}

/// Calls f(T{}) with the type that a kernel's T stands for: float, Bf16 or double. Returns what f
/// returns, GRAFT_UNSUPPORTED for other dtypes.
template <typename F>
graft_status with_float_type(std::uint32_t dtype, F&& f) {
  switch (dtype) {
    case GRAFT_F32:
      return f(float{});
    case GRAFT_BF16:
      return f(Bf16{});
    case GRAFT_F64:
      return f(double{});
    default:
      return GRAFT_UNSUPPORTED;
  }
}

// ---- random words
// ------------------------------------------------------------------------------

/// Philox4x32-10: Salmon, Moraes, Dror and Shaw 2011, "Parallel Random Numbers: As Easy as 1, 2,
/// 3", section 3.3.
inline std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9;  // golden ratio
    key[1] += 0xBB67AE85;  // sqrt(3) - 1
  }
  return counter;
}

// ---- views
// -------------------------------------------------------------------------------------

template <typename T>
T* data(const graft_view& view) {
  return static_cast<T*>(view.data);
}

inline std::int64_t elements(const graft_view& view) {
  std::int64_t n = 1;
  for (std::int32_t d = 0; d < view.ndim; ++d) n *= view.shape[d];
  return n;
}

/// Elements lie in row-major order without gaps.
inline bool is_dense(const graft_view& view) {
  std::int64_t expected = 1;
  for (std::int32_t d = view.ndim - 1; d >= 0; --d) {
    if (view.shape[d] != 1 && view.stride[d] != expected) return false;
    expected *= view.shape[d];
  }
  return true;
}

inline bool same_shape(const graft_view& a, const graft_view& b) {
  if (a.ndim != b.ndim) return false;
  for (std::int32_t d = 0; d < a.ndim; ++d)
    if (a.shape[d] != b.shape[d]) return false;
  return true;
}

/// A loop nest over N views of one shape. Axes of extent 1 are gone, and neighbouring axes that
/// every view walks in one stride are one axis, so dense views give a single run. The last axis
/// is the run; the axes before it make outer() runs.
template <std::size_t N>
struct Loop {
  std::int32_t ndim = 0;  // at least 1
  std::array<std::int64_t, 8> extent{};
  std::array<std::array<std::int64_t, N>, 8> stride{};  // of axis d in view i: stride[d][i]

  std::int64_t outer() const {
    std::int64_t n = 1;
    for (std::int32_t d = 0; d + 1 < ndim; ++d) n *= extent[d];
    return n;
  }
  std::int64_t run_length() const { return extent[ndim - 1]; }
  const std::array<std::int64_t, N>& run_strides() const { return stride[ndim - 1]; }

  /// Element offsets in each view where run number `index` begins.
  std::array<std::int64_t, N> begin_of(std::int64_t index) const {
    std::array<std::int64_t, N> at{};
    for (std::int32_t d = ndim - 2; d >= 0; --d) {
      const std::int64_t place = index % extent[d];
      index /= extent[d];
      for (std::size_t i = 0; i < N; ++i) at[i] += place * stride[d][i];
    }
    return at;
  }
};

/// The nest over the first `ndim` axes of views[0]'s shape. An axis of which a view has only 1
/// element, or which it lacks at the front, is walked with stride 0 there (sums, broadcasts).
template <std::size_t N>
Loop<N> make_loop(const std::array<const graft_view*, N>& views, std::int32_t ndim) {
  Loop<N> loop;
  for (std::int32_t d = 0; d < ndim; ++d) {
    const std::int64_t extent = views[0]->shape[d];
    if (extent == 1) continue;
    std::array<std::int64_t, N> stride{};
    for (std::size_t i = 0; i < N; ++i)
      if (d < views[i]->ndim && views[i]->shape[d] != 1) stride[i] = views[i]->stride[d];
    bool joins = loop.ndim > 0;
    for (std::size_t i = 0; i < N && joins; ++i)
      joins = loop.stride[loop.ndim - 1][i] == stride[i] * extent;
    if (joins) {
      loop.extent[loop.ndim - 1] *= extent;
      loop.stride[loop.ndim - 1] = stride;
    } else {
      loop.extent[loop.ndim] = extent;
      loop.stride[loop.ndim++] = stride;
    }
  }
  if (loop.ndim == 0) loop.extent[loop.ndim++] = 1;
  return loop;
}

template <std::size_t N>
Loop<N> make_loop(const std::array<const graft_view*, N>& views) {
  return make_loop(views, views[0]->ndim);
}

/// Calls f(offsets, n, strides) for the runs number from to to - 1: element j of the run is at
/// offsets[i] + j * strides[i] in view i.
template <std::size_t N, typename F>
void for_runs(const Loop<N>& loop, std::int64_t from, std::int64_t to, F&& f) {
  if (loop.run_length() == 0) return;
  for (std::int64_t run = from; run < to; ++run)
    f(loop.begin_of(run), loop.run_length(), loop.run_strides());
}

/// Calls f(offsets) for every element of the nest, in row-major order.
template <std::size_t N, typename F>
void for_each(const Loop<N>& loop, F&& f) {
  for_runs(loop, 0, loop.outer(),
           [&](std::array<std::int64_t, N> at, std::int64_t n, const auto& step) {
             for (std::int64_t j = 0; j < n; ++j) {
               f(at);
               for (std::size_t i = 0; i < N; ++i) at[i] += step[i];
             }
           });
}

/// Calls f(offsets) for every row of views[0], a row being its last axis: offsets of the row's
/// first element in each view. A view of rank 1 or 0 counts as one row.
template <std::size_t N, typename F>
void for_each_row(const std::array<const graft_view*, N>& views, F&& f) {
  for_each(make_loop(views, views[0]->ndim > 0 ? views[0]->ndim - 1 : 0), f);
}

}  // namespace graft::backend
#pragma GCC visibility pop
#endif
