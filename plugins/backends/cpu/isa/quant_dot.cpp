// Quantized matrices, multiplied by a few rows as they lie.
#include "plugins/backends/cpu/isa/blocks.hpp"
#include "plugins/backends/cpu/isa/families.hpp"
#include "plugins/backends/cpu/isa/gemm.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

constexpr int64_t kAhead = 2048;  // bytes of blocks that are fetched before they are used

/// Sums of products with M rows of a, in several vectors: one addition need not wait for the last.
template <int M, int kSlots = 4 / M>
struct Sums {
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

/// Whether rows are whole blocks, and blocks whole runs of 32 elements, which are looked up together.
GRAFT_INLINE bool in_pairs(const graft_quant* q) {
  return q->block_elements % 32 == 0 && q->columns % q->block_elements == 0;
}

/// tile[i * step + r] = row i of a, dealt, times row `row` + r of q, as in_pairs().
template <int M>
GRAFT_APART void dot_pairs(const graft_quant* q, int64_t row, int64_t rows, int64_t k,
                           const float* a, float* tile, int64_t step) {
  const Pairs book = pairs_of((const float*)q->aux[2]);
  const int64_t size = q->block_elements, blocks = k / size;
  const uint8_t* bytes = (const uint8_t*)q->data + row * k / 2;
  for (int64_t r = 0; r < rows; ++r) {
    F total[M];
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) total[i] = F{};
    const float* x = a;
    for (int64_t b = 0; b < blocks; ++b) {
      Sums<M, M == 1 ? 2 : 1> part;
      part.clear();
      __builtin_prefetch(bytes + kAhead);
      for (int64_t l = 0; l < size; l += 32, bytes += 16, x += 32) {
        F w[kPairs];
        look_up_dealt(book, bytes, w);
        GRAFT_UNROLL
        for (int v = 0; v < kPairs; ++v) part.add(v, w[v], x + v * W, k);
      }
      const float scale = graft::quant::book_scale(q, (row + r) * blocks + b);
      GRAFT_UNROLL
      for (int i = 0; i < M; ++i) total[i] += part.of_row(i) * scale;
    }
    for (int i = 0; i < M; ++i) tile[i * step + r] = sum(total[i]);
  }
}

/// sums[i] = row i of a times the row of q that begins at element `first`, wherever blocks lie.
template <int M>
GRAFT_APART void dot_book(const graft_quant* q, int64_t first, int64_t k, const float* a,
                          float* sums) {
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

/// Adds up products with the groups of a row's blocks: scale sum(code x) + offset sum(x), where the sums of
/// x are known.
template <int M>
struct GroupSums {
  const float *x, *x_sums;  // of the first of M rows, at the block
  int64_t k, groups;        // from one row to the next
  F total[M];
  float rest[M];

  template <class Code>
  GRAFT_INLINE_MEMBER void codes(int at, int n, F scale, Code code) {
    F part[M];
    GRAFT_UNROLL
    for (int l = 0; l < n; l += W) {
      const F c = real(code(l));
      GRAFT_UNROLL
      for (int i = 0; i < M; ++i)
        part[i] = l ? part[i] + c * load(x + i * k + at + l) : c * load(x + i * k + at);
    }
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) total[i] += part[i] * scale;
  }
  GRAFT_INLINE_MEMBER void constant(int group, float value) {
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) rest[i] += value * x_sums[i * groups + group];
  }
  template <class Code>
  GRAFT_INLINE_MEMBER void scaled(int at, int n, F scale, int zero, Code code) {
    codes(at, n, scale, code);
    if (zero) constant(at / n, scale[0] * (float)-zero);
  }
  template <class Code>
  GRAFT_INLINE_MEMBER void affine(int at, int n, F scale, F offset, Code code) {
    codes(at, n, scale, code);
    constant(at / n, offset[0]);
  }
};

/// The same for the formats of GGUF, whose rows are whole blocks; x_sums has the sums of a's groups.
template <int M>
GRAFT_APART void dot_run(const graft_quant* q, Format format, int64_t row, int64_t k,
                         const float* a, const float* x_sums, float* sums) {
  with_blocks(
      format, [&](auto each, int elements) __attribute__((always_inline)) {
        Bytes block = (Bytes)q->data + row * (k / elements) * q->block_bytes;
        const int64_t size = group_of(format);
        GroupSums<M> own = {a, x_sums, k, k / size, {}, {}};
        for (int64_t j = 0; j < k; j += elements, block += q->block_bytes) {
          __builtin_prefetch(block + kAhead);
          each(block, own);
          own.x += elements;
          own.x_sums += elements / size;
        }
        GRAFT_UNROLL
        for (int i = 0; i < M; ++i) sums[i] = sum(own.total[i]) + own.rest[i];
      });
}

template <int M>
GRAFT_APART void dot_int8(const graft_quant* q, int64_t row, int64_t k, const float* a,
                          float* sums) {
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

/// tile[i * step + r] = row i of a times row `row` + r of q, of M rows of a and `rows` of q.
template <int M>
void dot_rows(const graft_quant* q, Format format, int64_t row, int64_t rows, int64_t k,
              const float* a, const float* x_sums, float* tile, int64_t step) {
  if (format == graft::quant::kBook4 && in_pairs(q))
    return dot_pairs<M>(q, row, rows, k, a, tile, step);
  for (int64_t r = 0; r < rows; ++r) {
    float sums[M];
    if (format == graft::quant::kBook4)
      dot_book<M>(q, (row + r) * k, k, a, sums);
    else if (format == graft::quant::kInt8)
      dot_int8<M>(q, row + r, k, a, sums);
    else
      dot_run<M>(q, format, row + r, k, a, x_sums, sums);
    for (int i = 0; i < M; ++i) tile[i * step + r] = sums[i];
  }
}

/// The same for m rows of a.
void dot_all(const graft_quant* q, Format format, int64_t row, int64_t rows, int64_t m, int64_t k,
             const float* a, const float* x_sums, float* tile, int64_t step) {
  const int64_t groups = k / group_of(format);
  const auto part = [&](auto dot, int64_t i) __attribute__((always_inline)) {
    dot(q, format, row, rows, k, a + i * k, x_sums + i * groups, tile + i * step, step);
  };
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) part(dot_rows<4>, i);
  for (; i + 2 <= m; i += 2) part(dot_rows<2>, i);
  if (i < m) part(dot_rows<1>, i);
}

constexpr int64_t kDotBlock = 64;  // columns of the result that are written together

/// What a thread needs for one row of k elements: the row, its part of a tile, sums of groups.
int64_t own_floats(int64_t k) {
  return k + kDotBlock + ceil_div(k, (int64_t)16);
}

/// sums[i] = the sum of the i-th `size` elements of x.
void sum_groups(const float* x, int64_t n, int64_t size, float* sums) {
  for (int64_t i = 0; i < n; i += size) {
    F total = load(x + i);
    for (int64_t l = W; l < size; l += W) total += load(x + i + l);
    sums[i / size] = sum(total);
  }
}

}  // namespace

uint64_t dot_blocks_workspace(const GemmCall* c) {
  return sizeof(float) * (uint64_t)(c->threads * c->m * own_floats(c->k));
}

/// c = alpha a Wt + bias for a few rows: a thread takes the next of W's rows when it has done its last.
void dot_blocks(const GemmCall* call, const graft_quant* blocks, int32_t format) {
  const GemmCall& c = *call;
  const bool pairs = format == graft::quant::kBook4 && in_pairs(blocks);
  const bool grouped = format != graft::quant::kBook4 && format != graft::quant::kInt8;
  GRAFT_OMP(parallel num_threads(c.threads) if (c.m * c.n * c.k > 32768)) {
    float* const rows = (float*)c.workspace + thread_number() * c.m * own_floats(c.k);
    float *const tile = rows + c.m * c.k, *const x_sums = tile + c.m * kDotBlock;
    with_type(c.a_type, [&](auto t) {
      typedef typename decltype(t)::type A;
      for (int64_t i = 0; i < c.m; ++i) {
        const A* const a = (const A*)c.a + i * c.a_row;
        float* const row = rows + i * c.k;
        if (c.a_col == 1)
          strip(c.k, [&](int64_t l, auto some) { store(row + l, load(a + l, some), some); });
        else
          for (int64_t l = 0; l < c.k; ++l) row[l] = scalar(a + l * c.a_col);
      }
    });
    if (pairs) deal(rows, c.m * c.k);
    if (grouped) sum_groups(rows, c.m * c.k, group_of((Format)format), x_sums);
    GRAFT_OMP(for schedule(dynamic) nowait)
    for (int64_t first = 0; first < c.n; first += kDotBlock) {
      const int64_t width = least(kDotBlock, c.n - first);
      dot_all(blocks, (Format)format, first, width, c.m, c.k, rows, x_sums, tile, kDotBlock);
      write_tile(c, tile, kDotBlock, 0, c.m, first, width);
    }
  }
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
