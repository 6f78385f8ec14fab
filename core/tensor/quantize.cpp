#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // -O2 of gcc 12 leaves these loops scalar
#endif

#include "core/tensor/quantize.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <graft/dynamic8.hpp>
#include <graft/quant.hpp>
#include <thread>
#include <vector>

#include "core/base/error.hpp"
#include "core/tensor/block_encode.hpp"
#include "core/tensor/block_formats.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/lane_mean.hpp"

namespace graft::core {
namespace {

constexpr std::array<std::uint32_t, 16> nf4_bits = {
    0xbf800000, 0xbf3239b1, 0xbf066b30, 0xbeca32a0, 0xbe91a24d, 0xbe3d353f, 0xbdba7871, 0x00000000,
    0x3da2faff, 0x3e24cae3, 0x3e7c04dd, 0x3ead033a, 0x3ee1a4b8, 0x3f1007ab, 0x3f3913b3, 0x3f800000};
constexpr std::array<std::uint32_t, 16> fp4_bits = {
    0x00000000, 0x3baaaaab, 0x3f2aaaab, 0x3f800000, 0x3eaaaaab, 0x3f000000, 0x3e2aaaab, 0x3e800000,
    0x80000000, 0xbbaaaaab, 0xbf2aaaab, 0xbf800000, 0xbeaaaaab, 0xbf000000, 0xbe2aaaab, 0xbe800000};

std::array<float, 16> floats(const std::array<std::uint32_t, 16>& bits) {
  std::array<float, 16> values{};
  for (std::size_t i = 0; i < 16; ++i) values[i] = std::bit_cast<float>(bits[i]);
  return values;
}

/// The book in ascending order, with the thresholds between neighbours: a value takes the entry whose
/// number is that of the thresholds below it.
struct Order {
  std::array<float, 15> threshold{};
  std::array<std::uint8_t, 16> code{};
};

Order order_of(std::span<const float, 16> book) {
  Order o;
  for (std::uint8_t i = 0; i < 16; ++i) o.code[i] = i;
  std::stable_sort(o.code.begin(), o.code.end(),
                   [&](std::uint8_t a, std::uint8_t b) { return book[a] < book[b]; });
  for (std::size_t i = 0; i < 15; ++i) o.threshold[i] = (book[o.code[i]] + book[o.code[i + 1]]) / 2;
  return o;
}

std::uint8_t code_of(const Order& o, float t) {
  int below = 0;
  for (const float threshold : o.threshold) below += threshold < t;
  return o.code[static_cast<std::size_t>(below)];
}

/// part(begin, end) over [0, n) by up to `threads` threads, cut at multiples of `unit`.
void in_parts(std::int64_t n, std::int64_t unit, int threads,
              const std::function<void(std::int64_t, std::int64_t)>& part) {
  constexpr std::int64_t worth_a_thread = 1 << 16;
  const std::int64_t units = (n + unit - 1) / unit;
  const std::int64_t parts =
      std::max<std::int64_t>(1, std::min<std::int64_t>({threads, units, n / worth_a_thread}));
  const auto bound = [&](std::int64_t i) { return std::min(n, units * i / parts * unit); };
  std::vector<std::jthread> team;
  for (std::int64_t i = 1; i < parts; ++i) {
    team.emplace_back([&, i] { part(bound(i), bound(i + 1)); });
  }
  part(0, bound(1));
}

float largest(const float* x, std::int64_t n) {
  float most = 0;
  for (std::int64_t i = 0; i < n; ++i) most = std::max(most, std::fabs(x[i]));
  return most;
}

/// Blocks of [begin, end), which begins at a block of an even number of elements.
void quantize_book(const graft_quant& q, const Order& order, const float* x, std::int64_t elements,
                   std::int64_t begin, std::int64_t end, float* scales) {
  auto* packed = static_cast<std::uint8_t*>(const_cast<void*>(q.data));
  for (std::int64_t at = begin; at < end; at += q.block_elements) {
    const std::int64_t n = std::min(q.block_elements, end - at);
    const float most = largest(x + at, n), safe = std::max(most, 1e-38f), inverse = 1 / safe;
    const bool whole = n == q.block_elements;
    // A last block that is short is divided by its scale, the others are multiplied by its inverse.
    scales[at / q.block_elements] = whole ? most : safe;
    const auto code = [&](std::int64_t i) {
      if (i >= elements) return code_of(order, 0);
      return code_of(order, std::clamp(whole ? x[i] * inverse : x[i] / safe, -1.0f, 1.0f));
    };
    for (std::int64_t i = at; i < at + n; i += 2) {
      packed[i / 2] = static_cast<std::uint8_t>(code(i) << 4 | code(i + 1));
    }
  }
}

void nest_scales(const graft_quant& q, std::span<const float> scales) {
  const float offset = lane_mean(scales);
  std::vector<float> rest(scales.begin(), scales.end());
  for (float& r : rest) r -= offset;
  auto* map = static_cast<float*>(const_cast<void*>(q.aux[3]));
  std::copy(dynamic_map().begin(), dynamic_map().end(), map);
  map[256] = offset;
  quantize_dynamic(rest, 256, static_cast<std::uint8_t*>(const_cast<void*>(q.aux[0])),
                   static_cast<float*>(const_cast<void*>(q.aux[1])));
}

void quantize_int8(const graft_quant& q, const float* x, std::int64_t begin, std::int64_t end) {
  auto* codes = static_cast<std::int8_t*>(const_cast<void*>(q.data));
  auto* scales = static_cast<float*>(const_cast<void*>(q.aux[0]));
  for (std::int64_t row = begin; row < end; ++row) {
    const float* from = x + row * q.columns;
    const float most = largest(from, q.columns), factor = most > 0 ? 127 / most : 0;
    scales[row] = most;
    for (std::int64_t i = 0; i < q.columns; ++i) {
      codes[row * q.columns + i] = static_cast<std::int8_t>(std::nearbyint(from[i] * factor));
    }
  }
}

const BlockFormat* blocks_of(std::string_view format) {
  for (const BlockFormat& known : block_formats()) {
    if (known.name == format) return &known;
  }
  return nullptr;
}

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

}  // namespace

std::span<const float, 16> code_book(std::string_view format) {
  static const std::array<float, 16> nf4 = floats(nf4_bits), fp4 = floats(fp4_bits);
  if (format == "nf4") return nf4;
  if (format == "fp4") return fp4;
  throw Error(GRAFT_UNSUPPORTED, cat("'", format, "' is no code book; there are nf4 and fp4."));
}

const std::array<float, 256>& dynamic_map() {
  return dynamic8::map(true).value;
}

graft_quant quantized_shape(std::string_view format, std::int64_t rows, std::int64_t columns,
                            std::int64_t block, bool nested) {
  constexpr std::int64_t most = std::int64_t{1} << 48;
  if (rows < 0 || columns < 0 || (columns > 0 && rows > most / columns)) {
    throw Error(GRAFT_E_INVALID,
                cat("a matrix [", rows, ", ", columns, "] cannot be quantized: its size."));
  }
  graft_quant q{};
  q.rows = rows;
  q.columns = columns;
  const std::int64_t elements = rows * columns;
  if (format == "int8") {
    q.format = "int8";
    q.block_elements = q.block_bytes = std::max<std::int64_t>(columns, 1);
    q.data_bytes = static_cast<std::uint64_t>(elements);
    q.aux_bytes[0] = static_cast<std::uint64_t>(rows) * sizeof(float);
    return q;
  }
  if (const BlockFormat* blocks = blocks_of(format)) {
    if (columns % blocks->elements != 0) {
      throw Error(GRAFT_E_INVALID, cat("rows of ", columns, " elements are no whole number of ",
                                       format, " blocks of ", blocks->elements, "."));
    }
    q.format = blocks->name.data();
    q.block_elements = blocks->elements;
    q.block_bytes = blocks->bytes;
    q.data_bytes = static_cast<std::uint64_t>(elements / blocks->elements * blocks->bytes);
    return q;
  }
  q.format = code_book(format).data() == code_book("nf4").data() ? "nf4" : "fp4";
  if (block < 32 || block > 4096 || !std::has_single_bit(static_cast<std::uint64_t>(block))) {
    throw Error(GRAFT_E_INVALID, cat(q.format, ": blocks of ", block,
                                     " elements; 32, 64, 128, .. to 4096 are possible."));
  }
  q.block_elements = block;
  q.block_bytes = block / 2;
  q.data_bytes = static_cast<std::uint64_t>(elements + 1) / 2;
  const auto blocks = static_cast<std::uint64_t>((elements + block - 1) / block);
  q.aux_bytes[0] = nested ? blocks : blocks * sizeof(float);
  q.aux_bytes[1] = nested ? (blocks + 255) / 256 * sizeof(float) : 0;
  q.aux_bytes[2] = 16 * sizeof(float);
  q.aux_bytes[3] = nested ? 257 * sizeof(float) : 0;
  return q;
}

std::uint64_t buffer_bytes(const graft_quant& shape) {
  std::uint64_t bytes = aligned(shape.data_bytes);
  for (const std::uint64_t aux : shape.aux_bytes) bytes += aligned(aux);
  return bytes;
}

void set_buffers(graft_quant& shape, void* memory) {
  auto* at = static_cast<std::byte*>(memory);
  shape.data = at;
  at += aligned(shape.data_bytes);
  for (std::size_t i = 0; i < 4; ++i) {
    shape.aux[i] = shape.aux_bytes[i] > 0 ? at : nullptr;
    at += aligned(shape.aux_bytes[i]);
  }
}

void quantize(const graft_quant& q, const float* x, int threads, std::string_view who) {
  const std::int64_t elements = q.rows * q.columns;
  const BlockFormat* blocks = blocks_of(q.format);
  const float limit = blocks ? most_encodable : 3.4028234e38f;
  std::atomic<bool> possible{true};
  in_parts(elements, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    bool all = true;
    for (std::int64_t i = begin; i < end; ++i) all = all && std::fabs(x[i]) <= limit;
    if (!all) possible = false;
  });
  if (!possible) {
    throw Error(GRAFT_E_INVALID, cat(who, ": a value is infinite, not a number or above ", limit,
                                     ", which ", q.format, " cannot hold."));
  }
  if (blocks) {
    auto* data = static_cast<std::byte*>(const_cast<void*>(q.data));
    return in_parts(elements, blocks->elements, threads, [&](std::int64_t begin, std::int64_t end) {
      encode_block_row(blocks->name, x + begin, data + begin / blocks->elements * blocks->bytes,
                       end - begin);
    });
  }
  if (std::strcmp(q.format, "int8") == 0) {
    const std::int64_t width = std::max<std::int64_t>(q.columns, 1);
    return in_parts(q.rows * width, width, threads, [&](std::int64_t begin, std::int64_t end) {
      quantize_int8(q, x, begin / width, end / width);
    });
  }
  const auto book = code_book(q.format);
  const Order order = order_of(book);
  std::copy(book.begin(), book.end(), static_cast<float*>(const_cast<void*>(q.aux[2])));
  const bool nested = q.aux[1] != nullptr;
  std::vector<float> own(
      nested ? static_cast<std::size_t>((elements + q.block_elements - 1) / q.block_elements) : 0);
  float* scales = nested ? own.data() : static_cast<float*>(const_cast<void*>(q.aux[0]));
  in_parts(elements, q.block_elements, threads, [&](std::int64_t begin, std::int64_t end) {
    quantize_book(q, order, x, elements, begin, end, scales);
  });
  if (nested) nest_scales(q, own);
}

void quantize_dynamic(std::span<const float> values, std::int64_t block, std::uint8_t* codes,
                      float* scales) {
  const dynamic8::Map& map = dynamic8::map(true);
  const auto n = static_cast<std::int64_t>(values.size());
  for (std::int64_t at = 0; at < n; at += block) {
    const std::int64_t count = std::min(block, n - at);
    const float most = largest(values.data() + at, count);
    const float inverse = dynamic8::inverse_scale(most);
    scales[at / block] = most;
    for (std::int64_t i = at; i < at + count; ++i) {
      codes[i] = map.code[dynamic8::place_of(values[static_cast<std::size_t>(i)], inverse)];
    }
  }
}

void expand_rows(const graft_quant& source, std::uint32_t dtype, void* target, std::int64_t begin,
                 std::int64_t end) {
  const quant::Format format = quant::format_of(source.format);
  if (!quant::consistent(&source) || begin < 0 || end < begin || end > source.rows) {
    throw Error(GRAFT_E_INTERNAL, "expand_rows: no such rows, or a format that is not known.");
  }
  const std::size_t row_bytes = static_cast<std::size_t>(source.columns) * dtype_size(dtype);
  std::vector<float> row(static_cast<std::size_t>(source.columns));
  for (std::int64_t r = begin; r < end; ++r) {
    quant::expand(&source, format, r, 0, source.columns, row.data());
    convert(dtype,
            static_cast<std::byte*>(target) + static_cast<std::size_t>(r - begin) * row_bytes,
            GRAFT_F32, row.data(), row.size());
  }
}

}  // namespace graft::core
