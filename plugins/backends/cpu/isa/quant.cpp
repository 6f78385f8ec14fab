// Quantized matrices: expanded run by run, and multiplied by a few rows as they lie.
#include <graft/quant.hpp>

#include "plugins/backends/cpu/isa/gemm.hpp"
#include "plugins/backends/cpu/isa/quant_kernels.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

using graft::quant::Format;

// ---- a book of 16 values --------------------------------------------------------------------

#if defined(__AVX512F__)
struct Book {
  __m512 values;
};
GRAFT_INLINE Book book_of(const float* book, float scale) {
  return {_mm512_mul_ps(_mm512_loadu_ps(book), _mm512_set1_ps(scale))};
}
/// The W elements of W / 2 bytes, the high nibble of each byte first.
GRAFT_INLINE F look_up(const Book& book, const uint8_t* bytes) {
  int32_t words[2];
  memcpy(words, bytes, 8);
  const __m512i shifts =
      _mm512_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24);
  const __m512i both =
      _mm512_inserti64x4(_mm512_set1_epi32(words[0]), _mm256_set1_epi32(words[1]), 1);
  return (F)_mm512_permutexvar_ps(_mm512_srlv_epi32(both, shifts), book.values);
}
#elif defined(__AVX2__)
struct Book {
  __m256 low, high;
};
GRAFT_INLINE Book book_of(const float* book, float scale) {
  const __m256 s = _mm256_set1_ps(scale);
  return {_mm256_mul_ps(_mm256_loadu_ps(book), s), _mm256_mul_ps(_mm256_loadu_ps(book + 8), s)};
}
GRAFT_INLINE F look_up(const Book& book, const uint8_t* bytes) {
  int32_t word;
  memcpy(&word, bytes, 4);
  const __m256i code =
      _mm256_srlv_epi32(_mm256_set1_epi32(word), _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24));
  const __m256 low = _mm256_permutevar8x32_ps(book.low, code);
  const __m256 high = _mm256_permutevar8x32_ps(book.high, code);
  return (F)_mm256_blendv_ps(low, high, (__m256)_mm256_slli_epi32(code, 28));
}
#else
struct Book {
  float values[16];
};
GRAFT_INLINE Book book_of(const float* book, float scale) {
  Book own;
  for (int i = 0; i < 16; ++i) own.values[i] = book[i] * scale;
  return own;
}
GRAFT_INLINE F look_up(const Book& book, const uint8_t* bytes) {
  F x;
  for (int i = 0; i < W; i += 2) {
    x[i] = book.values[bytes[i / 2] >> 4];
    x[i + 1] = book.values[bytes[i / 2] & 15];
  }
  return x;
}
#endif

/// body(j, count, first, scale) for the pieces of n elements from `first` on that share a scale.
template <class Body>
GRAFT_INLINE void by_scale(const graft_quant* q, int64_t first, int64_t n, Body body) {
  for (int64_t j = 0; j < n;) {
    const int64_t block = (first + j) / q->block_elements;
    const int64_t count = least((block + 1) * q->block_elements - (first + j), n - j);
    body(j, count, first + j, graft::quant::book_scale(q, block));
    j += count;
  }
}

template <class Out>
void expand_book(const graft_quant* q, int64_t first, int64_t n, Out* out) {
  const float* values = (const float*)q->aux[2];
  by_scale(q, first, n, [&](int64_t j, int64_t count, int64_t at, float scale) {
    const uint8_t* bytes = (const uint8_t*)q->data + at / 2;
    const Book book = book_of(values, scale);
    int64_t i = 0;
    if (at % 2 == 0)
      for (; i + W <= count; i += W) store(out + j + i, look_up(book, bytes + i / 2));
    for (; i < count; ++i) {
      const int byte = ((const uint8_t*)q->data)[(at + i) / 2];
      put(out + j + i, values[(at + i) % 2 ? byte & 15 : byte >> 4] * scale);
    }
  });
}

constexpr int64_t kRun = 256;  // a whole number of blocks of every format of GGUF

template <class Out>
void expand_run(const graft_quant* q, Format format, int64_t row, int64_t column, int64_t n,
                Out* out) {
  if (format == graft::quant::kBook4) return expand_book(q, row * q->columns + column, n, out);
  if constexpr (sizeof(Out) == 4) {
    graft::quant::expand(q, format, row, column, n, out);
  } else {
    float part[kRun];
    for (int64_t j = 0; j < n; j += kRun) {
      const int64_t count = least(kRun, n - j);
      graft::quant::expand(q, format, row, column + j, count, part);
      strip(count, [&](int64_t i, auto some) { store(out + j + i, load(part + i, some), some); });
    }
  }
}

// ---- products with a few rows -------------------------------------------------------------------

/// sums[i] = row i of a times the row of q that begins at element `first`; M rows of a.
template <int M>
void dot_book(const graft_quant* q, int64_t first, int64_t k, const float* a, float* sums) {
  const float* values = (const float*)q->aux[2];
  const Book book = book_of(values, 1);
  F total[M];
  float rest[M];
  GRAFT_UNROLL
  for (int i = 0; i < M; ++i) total[i] = F{}, rest[i] = 0;
  by_scale(q, first, k, [&](int64_t j, int64_t count, int64_t at, float scale) {
    const uint8_t* bytes = (const uint8_t*)q->data + at / 2;
    F part[M][2];
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) part[i][0] = part[i][1] = F{};
    int64_t l = 0;
    if (at % 2 == 0) {
      for (; l + 2 * W <= count; l += 2 * W) {
        const F x = look_up(book, bytes + l / 2), y = look_up(book, bytes + (l + W) / 2);
        GRAFT_UNROLL
        for (int i = 0; i < M; ++i) {
          part[i][0] += x * load(a + i * k + j + l);
          part[i][1] += y * load(a + i * k + j + l + W);
        }
      }
    }
    const F s = splat(scale);
    GRAFT_UNROLL
    for (int i = 0; i < M; ++i) total[i] += (part[i][0] + part[i][1]) * s;
    for (; l < count; ++l) {
      const int byte = ((const uint8_t*)q->data)[(at + l) / 2];
      const float w = values[(at + l) % 2 ? byte & 15 : byte >> 4] * scale;
      for (int i = 0; i < M; ++i) rest[i] += w * a[i * k + j + l];
    }
  });
  for (int i = 0; i < M; ++i) sums[i] = sum(total[i]) + rest[i];
}

/// The same for the formats of GGUF and int8: a run is expanded, then multiplied.
template <int M>
void dot_run(const graft_quant* q, Format format, int64_t row, int64_t k, const float* a,
             float* sums) {
  F total[M][2];
  GRAFT_UNROLL
  for (int i = 0; i < M; ++i) total[i][0] = total[i][1] = F{};
  float part[kRun];
  for (int64_t j = 0; j < k; j += kRun) {
    const int64_t count = least(kRun, k - j);
    graft::quant::expand(q, format, row, j, count, part);
    int64_t l = 0;
    for (; l + 2 * W <= count; l += 2 * W) {
      const F x = load(part + l), y = load(part + l + W);
      GRAFT_UNROLL
      for (int i = 0; i < M; ++i) {
        total[i][0] += x * load(a + i * k + j + l);
        total[i][1] += y * load(a + i * k + j + l + W);
      }
    }
    strip(count - l, [&](int64_t e, auto n) {
      const F x = load(part + l + e, n);
      for (int i = 0; i < M; ++i) total[i][0] += x * load(a + i * k + j + l + e, n);
    });
  }
  for (int i = 0; i < M; ++i) sums[i] = sum(total[i][0] + total[i][1]);
}

template <int M>
GRAFT_INLINE void dot_rows(const graft_quant* q, Format format, int64_t row, int64_t k,
                           const float* a, float* sums) {
  if (format == graft::quant::kBook4)
    dot_book<M>(q, row * q->columns, k, a, sums);
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
