// Quantized matrices: expanded run by run, and multiplied by a few rows as they lie.
#include "plugins/backends/cpu/isa/blocks.hpp"
#include "plugins/backends/cpu/isa/gemm.hpp"
#include "plugins/backends/cpu/isa/quant_kernels.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

constexpr int64_t kRun = 256;  // elements that are expanded one by one at a time

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
        for (Out* to = out + before; to < out + n - rest; to += elements, block += q->block_bytes)
          each(
              block, [&](int at, int, F w) __attribute__((always_inline)) { store(to + at, w); });
      });
  expand_part(q, format, row, column + n - rest, rest, out + n - rest);
}

// ---- products with a few rows -------------------------------------------------------------------

/// Sums of products with M rows of a, in several vectors: one addition need not wait for the last.
template <int M>
struct Sums {
  static constexpr int kSlots = M == 1 ? 4 : M == 2 ? 2 : 1;
  F total[M][kSlots];

  GRAFT_INLINE_MEMBER void clear() {
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) GRAFT_UNROLL
    for (int s = 0; s < kSlots; ++s) total[i][s] = F{};
  }
  GRAFT_INLINE_MEMBER void add(int slot, F w, const float* a, int64_t k) {
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) total[i][slot % kSlots] += w * load(a + i * k);
  }
  GRAFT_INLINE_MEMBER F of_row(int i) const {
    F all = total[i][0];
    GRAFT_UNROLL
    for (int s = 1; s < kSlots; ++s) all += total[i][s];
    return all;
  }
  GRAFT_INLINE_MEMBER void write(float* sums) const {
    for (int i = 0; i < M; ++i) sums[i] = sum(of_row(i));
  }
};

/// sums[i] = row i of a times the row of q that begins at element `first`; M rows of a.
template <int M>
void dot_book(const graft_quant* q, int64_t first, int64_t k, const float* a, float* sums) {
  const float* values = (const float*)q->aux[2];
  const Pairs book = pairs_of(values);
  F total[M];
  float rest[M];
  GRAFT_UNROLL
  for (int i = 0; i < M; ++i) total[i] = F{}, rest[i] = 0;
  by_scale(q, first, k, [&](int64_t j, int64_t count, int64_t at, float scale) {
    const uint8_t* bytes = (const uint8_t*)q->data + at / 2;
    Sums<M> part;
    part.clear();
    int64_t l = 0;
    if (at % 2 == 0) {
      for (; l + 32 <= count; l += 32) {
        F x[kPairs];
        look_up(book, bytes + l / 2, x);
        GRAFT_UNROLL
        for (int v = 0; v < kPairs; ++v) part.add(v, x[v], a + j + l + v * W, k);
      }
    }
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) total[i] += part.of_row(i) * scale;
    for (; l < count; ++l) {
      const int byte = ((const uint8_t*)q->data)[(at + l) / 2];
      const float w = values[(at + l) % 2 ? byte & 15 : byte >> 4] * scale;
      for (int i = 0; i < M; ++i) rest[i] += w * a[i * k + j + l];
    }
  });
  for (int i = 0; i < M; ++i) sums[i] = sum(total[i]) + rest[i];
}

/// The same for the formats of GGUF, whose rows are whole blocks.
template <int M>
void dot_run(const graft_quant* q, Format format, int64_t row, int64_t k, const float* a,
             float* sums) {
  with_blocks(
      format, [&](auto each, int elements) __attribute__((always_inline)) {
        Bytes block = (Bytes)q->data + row * (k / elements) * q->block_bytes;
        Sums<M> own;
        own.clear();
        for (int64_t j = 0; j < k; j += elements, block += q->block_bytes)
          each(
              block, [&](int at, int slot, F w)
                         __attribute__((always_inline)) { own.add(slot, w, a + j + at, k); });
        own.write(sums);
      });
}

template <int M>
void dot_int8(const graft_quant* q, int64_t row, int64_t k, const float* a, float* sums) {
  const int8_t* codes = (const int8_t*)q->data + row * k;
  const float scale = ((const float*)q->aux[0])[row] * graft::quant::kInt8Step;
  Sums<M> own;
  own.clear();
  int64_t j = 0;
  for (; j + 4 * W <= k; j += 4 * W) GRAFT_UNROLL
  for (int s = 0; s < 4; ++s)
    own.add(s, real(signed_at((Bytes)codes + j + s * W)), a + j + s * W, k);
  own.write(sums);
  for (int i = 0; i < M; ++i) {
    for (int64_t l = j; l < k; ++l) sums[i] += (float)codes[l] * a[i * k + l];
    sums[i] *= scale;
  }
}

template <int M>
GRAFT_INLINE void dot_rows(const graft_quant* q, Format format, int64_t row, int64_t k,
                           const float* a, float* sums) {
  if (format == graft::quant::kBook4)
    dot_book<M>(q, row * q->columns, k, a, sums);
  else if (format == graft::quant::kInt8)
    dot_int8<M>(q, row, k, a, sums);
  else
    dot_run<M>(q, format, row, k, a, sums);
}

/// Row `row` of q times each of the m rows of a: sums[i * step].
void dot_all(const graft_quant* q, Format format, int64_t row, int64_t m, int64_t k, const float* a,
             float* tile, int64_t step) {
  float sums[4];
  for (int64_t i = 0; i < m;) {
    const int64_t count = least((int64_t)4, m - i);
    if (count == 4)
      dot_rows<4>(q, format, row, k, a + i * k, sums);
    else if (count >= 2)
      dot_rows<2>(q, format, row, k, a + i * k, sums);
    else
      dot_rows<1>(q, format, row, k, a + i * k, sums);
    const int64_t done = count == 4 ? 4 : count >= 2 ? 2 : 1;
    for (int64_t s = 0; s < done; ++s) tile[(i + s) * step] = sums[s];
    i += done;
  }
}

constexpr int64_t kDotBlock = 64;  // columns of the result that are written together

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

uint64_t dot_blocks_workspace(const GemmCall* c) {
  return sizeof(float) * (uint64_t)(c->threads * (c->m * c->k + c->m * kDotBlock));
}

/// c = alpha a Wt + bias for a few rows: W's rows are dealt out to the threads.
void dot_blocks(const GemmCall* call, const graft_quant* blocks, int32_t format) {
  const GemmCall& c = *call;
  const int64_t own = c.m * c.k + c.m * kDotBlock;
  GRAFT_OMP(parallel num_threads(c.threads) if (c.m * c.n * c.k > 32768)) {
    const int64_t threads = team_size(), thread = thread_number();
    const int64_t groups = ceil_div(c.n, (int64_t)4);
    const int64_t begin = groups * thread / threads * 4;
    const int64_t end = least(groups * (thread + 1) / threads * 4, c.n);
    float *rows = (float*)c.workspace + thread * own, *tile = rows + c.m * c.k;
    with_type(c.a_type, [&](auto t) {
      typedef typename decltype(t)::type A;
      for (int64_t i = 0; i < c.m; ++i)
        for (int64_t l = 0; l < c.k; ++l)
          rows[i * c.k + l] = scalar((const A*)c.a + i * c.a_row + l * c.a_col);
    });
    for (int64_t first = begin; first < end; first += kDotBlock) {
      const int64_t width = least(kDotBlock, end - first);
      for (int64_t j = 0; j < width; ++j)
        dot_all(blocks, (Format)format, first + j, c.m, c.k, rows, tile + j, kDotBlock);
      write_tile(c, tile, kDotBlock, 0, c.m, first, width);
    }
  }
}

}  // namespace

const QuantKernels* quant_kernels() {
  static constexpr QuantKernels table = {expand_blocks, dot_blocks_workspace, dot_blocks};
  return &table;
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
