// Attention: for a block of queries and all heads that share a kv head, blocks of keys are visited
// with a running maximum and sum (Dao et al. 2022, "FlashAttention", arXiv:2205.14135, algorithm
// 1), so memory does not grow with the square of the length.
#include "plugins/backends/cpu/isa/attention.hpp"

#include "plugins/backends/cpu/isa/families.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

struct Shape {
  int64_t group, queries, lines;  // heads per kv head; queries of a block; rows of the tiles
  int64_t d, dv, floats;
};

Shape shape_of(const AttentionCall& c) {
  Shape s;
  s.group = most(c.heads / most(c.kv_heads, (int64_t)1), (int64_t)1);
  s.queries = most((int64_t)1, least(kQueries, 256 / s.group));
  s.lines = s.queries * s.group;
  s.d = c.d;
  s.dv = round_up(c.dv, kNR);
  s.floats = s.lines * s.d + s.lines * kKeys + s.lines * s.dv + 2 * s.lines +
             packed_size(s.d, kKeys) + packed_size(kKeys, s.dv);
  s.floats = round_up(s.floats, 64);
  return s;
}

struct Buffers {
  float *q, *scores, *o, *maxima, *sums, *k, *v;
};
Buffers buffers_of(const AttentionCall& c, const Shape& s) {
  Buffers b;
  b.q = (float*)c.workspace + thread_number() * s.floats;
  b.scores = b.q + s.lines * s.d;
  b.o = b.scores + s.lines * kKeys;
  b.maxima = b.o + s.lines * s.dv;
  b.sums = b.maxima + s.lines;
  b.k = b.sums + s.lines;
  b.v = b.k + packed_size(s.d, kKeys);
  return b;
}

/// Scores of one line to weights e^(score - maximum), 0 where the query does not see the key; the
/// line's sum and output are scaled to the new maximum.
void soften(const AttentionCall& c, float* scores, int64_t n, Span seen, float& maximum_so_far,
            float& sum_so_far, float* o, int64_t dv) {
  memset(scores, 0, sizeof(float) * (size_t)seen.from);
  memset(scores + seen.to, 0, sizeof(float) * (size_t)(n - seen.to));
  if (seen.from == seen.to) return;
  float* x = scores + seen.from;
  const int64_t count = seen.to - seen.from;
  cap_scores(c, x, count);
  F most_so_far = splat(maximum_so_far);
  strip(count, [&](int64_t j, auto w) {
    most_so_far = vmax(most_so_far, keep(load(x + j, w), w, -__builtin_inff()));
  });
  const float m = maximum(most_so_far);
  F total = {};
  strip(count, [&](int64_t j, auto w) {
    const F p = keep(vexp(load(x + j, w) - m), w, 0);
    total += p;
    store(x + j, p, w);
  });
  if (m > maximum_so_far) {
    const float shrink = vexp(splat(maximum_so_far - m))[0];
    sum_so_far *= shrink;
    for (int64_t j = 0; j < dv; j += W) store(o + j, load(o + j) * shrink);
    maximum_so_far = m;
  }
  sum_so_far += sum(total);
}

template <class T>
void attend(const AttentionCall& c, const Shape& shape, const Sequence& s, int64_t kv_head,
            int64_t query, const Buffers& b) {
  const int64_t n = least(shape.queries, s.queries - query), lines = n * shape.group;
  for (int64_t g = 0; g < shape.group; ++g) {
    const T* q =
        (const T*)c.q + (s.query + query) * c.q_row + (kv_head * shape.group + g) * c.q_head;
    expand_rows(q, c.q_row, n, c.d, b.q + g * n * shape.d, shape.d);
  }
  memset(b.o, 0, sizeof(float) * (size_t)(lines * shape.dv));
  for (int64_t i = 0; i < lines; ++i) {
    b.maxima[i] = -__builtin_inff();
    b.sums[i] = 0;
  }
  const Span span = keys_seen(c, s, query, n);
  for (int64_t key = span.from; key < span.to; key += kKeys) {
    const int64_t keys = least(kKeys, span.to - key), wide = round_up(keys, kNR);
    pack_as_columns((const T*)c.k + (s.key + key) * c.k_row + kv_head * c.k_head, c.k_row, c.d,
                    keys, b.k);
    pack_as_rows((const T*)c.v + (s.key + key) * c.v_row + kv_head * c.v_head, c.v_row, keys, c.dv,
                 b.v);
    multiply_packed(lines, keys, c.d, {b.q, shape.d, 1}, b.k, b.scores, kKeys, false);
    for (int64_t i = 0; i < lines; ++i)
      soften(c, b.scores + i * kKeys, wide, keys_of(c, s, query + i % n, key, keys), b.maxima[i],
             b.sums[i], b.o + i * shape.dv, shape.dv);
    multiply_packed(lines, c.dv, keys, {b.scores, kKeys, 1}, b.v, b.o, shape.dv, true);
  }
  for (int64_t i = 0; i < lines; ++i) {
    const int64_t row = s.query + query + i % n, head = kv_head * shape.group + i / n;
    T* o = (T*)c.o + row * c.o_row + head * c.o_head;
    const float scale = b.sums[i] > 0 ? 1 / b.sums[i] : 0;
    strip(c.dv,
          [&](int64_t j, auto w) { store(o + j, load(b.o + i * shape.dv + j, w) * scale, w); });
    c.lse[row * c.heads + head] = b.maxima[i] + ::logf(b.sums[i]);
  }
}

/// Rows of no sequence.
template <class T>
void clear_rows(const AttentionCall& c, int64_t from, int64_t to) {
  for (int64_t r = from; r < to; ++r)
    for (int64_t h = 0; h < c.heads; ++h) {
      T* o = (T*)c.o + r * c.o_row + h * c.o_head;
      strip(c.dv, [&](int64_t j, auto n) { store(o + j, F{}, n); });
      c.lse[r * c.heads + h] = -__builtin_inff();
    }
}

}  // namespace

uint64_t attention_workspace(const AttentionCall* c) {
  return sizeof(float) * (uint64_t)(c->threads * shape_of(*c).floats);
}

void attention(const AttentionCall* call) {
  const AttentionCall& c = *call;
  const Shape shape = shape_of(c);
  with_type(c.type, [&](auto t) {
    typedef typename decltype(t)::type T;
    clear_rows<T>(c, 0, c.cu_q[0]);
    clear_rows<T>(c, c.cu_q[c.sequences], c.rows);
    // Blocks are counted through all sequences; the last ones of a causal sequence cost most and
    // come first.
    int64_t blocks = 0;
    for (int64_t j = 0; j < c.sequences; ++j)
      blocks += ceil_div(sequence_of(c, j).queries, shape.queries);
    int64_t work = 0;
    for (int64_t j = 0; j < c.sequences; ++j)
      work += sequence_of(c, j).queries * sequence_of(c, j).keys * c.heads * (c.d + c.dv);
    GRAFT_OMP(parallel num_threads(c.threads) if (work > kParallel)) {
      const Buffers b = buffers_of(c, shape);
      GRAFT_OMP(for schedule(dynamic))
      for (int64_t i = 0; i < blocks * c.kv_heads; ++i) {
        int64_t block = i / c.kv_heads, j = c.sequences - 1;
        for (;; --j) {
          const int64_t own = ceil_div(sequence_of(c, j).queries, shape.queries);
          if (block < own) {
            block = own - 1 - block;
            break;
          }
          block -= own;
        }
        attend<T>(c, shape, sequence_of(c, j), i % c.kv_heads, block * shape.queries, b);
      }
    }
  });
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
