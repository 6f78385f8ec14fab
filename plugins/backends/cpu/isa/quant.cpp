// Quantized matrices, expanded run by run.
#include "plugins/backends/cpu/isa/blocks.hpp"
#include "plugins/backends/cpu/isa/families.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

constexpr int64_t kRun = 256;  // elements that are expanded one by one at a time

/// n elements of one scale, 32 at a time, as many as there are; how many those were.
template <class Out>
GRAFT_INLINE int64_t expand_nibbles(const uint8_t* bytes, int64_t n, const Pairs& book,
                                    const float* /*values*/, float scale, Out* out) {
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    F x[kPairs];
    look_up(book, bytes + i / 2, x);
    GRAFT_UNROLL
    for (int v = 0; v < kPairs; ++v) store(out + i + v * W, x[v] * scale);
  }
  return i;
}

#if defined(__AVX2__)
/// The 16 values are scaled and rounded once for all elements.
GRAFT_INLINE int64_t expand_nibbles(const uint8_t* bytes, int64_t n, const Pairs&,
                                    const float* values, float scale, Bf16* out) {
  const HalfBook book = half_book(values, scale);
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) look_up(book, bytes + i / 2, out + i);
  return i;
}
#endif

template <class Out>
void expand_book(const graft_quant* q, int64_t first, int64_t n, Out* out) {
  const float* values = (const float*)q->aux[2];
  const Pairs book = pairs_of(values);
  by_scale(q, first, n, [&](int64_t j, int64_t count, int64_t at, float scale) {
    const uint8_t* bytes = (const uint8_t*)q->data + at / 2;
    int64_t i =
        at % 2 == 0 ? expand_nibbles(bytes, count, book, values, scale, out + j) : int64_t{0};
    for (; i < count; ++i) {
      const int byte = ((const uint8_t*)q->data)[(at + i) / 2];
      put(out + j + i, values[(at + i) % 2 ? byte & 15 : byte >> 4] * scale);
    }
  });
}

/// Elements that do not fill blocks are expanded one by one.
template <class Out>
void expand_part(const graft_quant* q, Format format, int64_t row, int64_t column, int64_t n,
                 Out* out) {
  float part[kRun];
  for (int64_t j = 0; j < n; j += kRun) {
    const int64_t count = least(kRun, n - j);
    graft::quant::expand(q, format, row, column + j, count, part);
    strip(count, [&](int64_t i, auto some) { store(out + j + i, load(part + i, some), some); });
  }
}

template <class Out>
void expand_int8(const graft_quant* q, int64_t row, int64_t column, int64_t n, Out* out) {
  const int8_t* codes = (const int8_t*)q->data + row * q->columns + column;
  const float scale = ((const float*)q->aux[0])[row];
  int64_t j = 0;
  for (; j + W <= n; j += W)
    store(out + j, real(signed_at((Bytes)codes + j)) * scale * graft::quant::kInt8Step);
  for (; j < n; ++j) put(out + j, (float)codes[j] * scale * graft::quant::kInt8Step);
}

/// Writes the elements of a block's groups.
template <class Out>
struct Expanded {
  Out* out;
  template <class Code>
  GRAFT_INLINE_MEMBER void scaled(int at, int n, F scale, int zero, Code code) {
    GRAFT_UNROLL
    for (int l = 0; l < n; l += W) store(out + at + l, real(minus(code(l), zero)) * scale);
  }
  template <class Code>
  GRAFT_INLINE_MEMBER void affine(int at, int n, F scale, F offset, Code code) {
    GRAFT_UNROLL
    for (int l = 0; l < n; l += W) store(out + at + l, real(code(l)) * scale + offset);
  }
};

template <class Out>
void expand_run(const graft_quant* q, Format format, int64_t row, int64_t column, int64_t n,
                Out* out) {
  if (format == graft::quant::kBook4) return expand_book(q, row * q->columns + column, n, out);
  if (format == graft::quant::kInt8) return expand_int8(q, row, column, n, out);
  const int64_t size = q->block_elements;
  const int64_t before = least((size - column % size) % size, n), rest = (n - before) % size;
  expand_part(q, format, row, column, before, out);
  with_blocks(
      format, [&](auto each, int elements) __attribute__((always_inline)) {
        Bytes block = (Bytes)q->data +
                      (row * (q->columns / size) + (column + before) / size) * q->block_bytes;
        Expanded<Out> group = {out + before};
        for (; group.out < out + n - rest; group.out += elements, block += q->block_bytes)
          each(block, group);
      });
  expand_part(q, format, row, column + n - rest, rest, out + n - rest);
}

}  // namespace

void expand_blocks(const ExpandCall* call) {
  const ExpandCall& c = *call;
  GRAFT_OMP(parallel for num_threads(c.threads) schedule(static) \
            if (c.rows * c.columns > kParallel))
  for (int64_t r = 0; r < c.rows; ++r) {
    with_type(c.type, [&](auto t) {
      typedef typename decltype(t)::type T;
      const int64_t row = c.ids ? c.ids[r] : c.first_row + r;
      expand_run(c.blocks, (Format)c.format, row, c.first_column, c.columns,
                 (T*)c.out + r * c.out_row);
    });
  }
}

const QuantKernels* quant_kernels() {
  static constexpr QuantKernels table = {expand_blocks, dot_blocks_workspace, dot_blocks};
  return &table;
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
