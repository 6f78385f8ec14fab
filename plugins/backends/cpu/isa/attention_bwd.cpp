// Gradients of attention. With p = exp(score - lse) and delta = do o per query and head:
//
//   dv += p' do      ds = p (do v' - delta) slope     dk += ds' q     dq += ds k
//
// where slope is scale, times 1 - (score / softcap)^2 with a cap. A unit of work is one kv head of
// one sequence and a part of its keys: it adds to its own rows of dk and dv and to one of several
// copies of dq, so every sum has one order. Sequences that share keys are one unit.
#include "plugins/backends/cpu/isa/attention.hpp"
#include "plugins/backends/cpu/isa/families.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

namespace {

struct Shape {
  int64_t group, d, dv;  // d and dv rounded up to slivers
  int64_t parts;         // into which the keys of a sequence are cut
  int64_t floats;        // of one thread's buffers
};

Shape shape_of(const AttentionCall& c) {
  Shape s;
  s.group = most(c.heads / most(c.kv_heads, (int64_t)1), (int64_t)1);
  s.d = round_up(c.d, kNR);
  s.dv = round_up(c.dv, kNR);
  // Enough units for the team even if there is one sequence; depends on nothing that varies.
  s.parts = 1;
  while (s.parts < 8 && s.parts * c.kv_heads < 4 * c.threads && c.threads > 1) s.parts *= 2;
  s.floats = 2 * packed_size(c.d, kKeys) + packed_size(kKeys, s.d) + packed_size(c.dv, kKeys) +
             kQueries * (c.d + c.dv) + packed_size(kQueries, s.d) + packed_size(kQueries, s.dv) +
             2 * kQueries * kKeys + kKeys * (s.d + s.dv) + kQueries * s.d;
  s.floats = round_up(s.floats, 64);
  return s;
}

/// Shared sums, all f32 and dense.
struct Sums {
  float *delta, *dq, *dk, *dv;  // [rows, heads], [parts, rows, heads, d], [key_rows, kv_heads, ..]
};
Sums sums_of(const AttentionCall& c, const Shape& s) {
  Sums sums;
  sums.delta = (float*)c.workspace + c.threads * s.floats;
  sums.dq = sums.delta + c.rows * c.heads;
  sums.dk = sums.dq + s.parts * c.rows * c.heads * c.d;
  sums.dv = sums.dk + c.key_rows * c.kv_heads * c.d;
  return sums;
}

struct Buffers {
  float *k_columns, *k_rows, *v_columns;     // right operands of q k', ds k, do v'
  float *q, *grad_o, *q_rows, *grad_o_rows;  // left operands; right operands of ds' q, p' do
  float *p, *ds, *grad_k, *grad_v, *grad_q;
};
Buffers buffers_of(const AttentionCall& c, const Shape& s) {
  Buffers b;
  b.k_columns = (float*)c.workspace + thread_number() * s.floats;
  b.k_rows = b.k_columns + packed_size(c.d, kKeys);
  b.v_columns = b.k_rows + packed_size(kKeys, s.d);
  b.q = b.v_columns + packed_size(c.dv, kKeys);
  b.grad_o = b.q + kQueries * c.d;
  b.q_rows = b.grad_o + kQueries * c.dv;
  b.grad_o_rows = b.q_rows + packed_size(kQueries, s.d);
  b.p = b.grad_o_rows + packed_size(kQueries, s.dv);
  b.ds = b.p + kQueries * kKeys;
  b.grad_k = b.ds + kQueries * kKeys;
  b.grad_v = b.grad_k + kKeys * s.d;
  b.grad_q = b.grad_v + kKeys * s.dv;
  return b;
}

/// One line: raw dot products in p to weights, do v' in ds to gradients of the dot products.
void line(const AttentionCall& c, float* p, float* ds, int64_t n, Span seen, float lse,
          float delta) {
  memset(p, 0, sizeof(float) * (size_t)seen.from);
  memset(ds, 0, sizeof(float) * (size_t)seen.from);
  memset(p + seen.to, 0, sizeof(float) * (size_t)(n - seen.to));
  memset(ds + seen.to, 0, sizeof(float) * (size_t)(n - seen.to));
  p += seen.from;
  ds += seen.from;
  cap_scores(c, p, seen.to - seen.from);
  const float per_cap = c.softcap > 0 ? 1 / c.softcap : 0;
  strip(seen.to - seen.from, [&](int64_t j, auto w) {
    const F score = load(p + j, w), weight = vexp(score - lse);
    F slope = weight * (load(ds + j, w) - delta) * c.scale;
    if (c.softcap > 0) slope = slope * (1.0f - score * per_cap * (score * per_cap));
    store(p + j, weight, w);
    store(ds + j, slope, w);
  });
}

GRAFT_INLINE void add_rows(const float* from, int64_t row, int64_t n, int64_t width, float* to,
                           int64_t to_row) {
  for (int64_t i = 0; i < n; ++i)
    strip(width, [&](int64_t j, auto w) {
      float* at = to + i * to_row + j;
      store(at, load(at, w) + load(from + i * row + j, w), w);
    });
}

/// A block of keys against one head's block of queries.
template <class T>
void block_pair(const AttentionCall& c, const Shape& shape, const Sums& sums, const Buffers& b,
                const Sequence& s, int64_t head, int64_t query, int64_t n, int64_t key,
                int64_t keys, float* dq) {
  const int64_t row = s.query + query;
  const T* q = (const T*)c.q + row * c.q_row + head * c.q_head;
  const T* g = (const T*)c.grad_o + row * c.grad_o_row + head * c.grad_o_head;
  expand_rows(q, c.q_row, n, c.d, b.q, c.d);
  expand_rows(g, c.grad_o_row, n, c.dv, b.grad_o, c.dv);
  pack_as_rows((const float*)b.q, c.d, n, c.d, b.q_rows);
  pack_as_rows((const float*)b.grad_o, c.dv, n, c.dv, b.grad_o_rows);
  multiply_packed(n, keys, c.d, {b.q, c.d, 1}, b.k_columns, b.p, kKeys, false);
  multiply_packed(n, keys, c.dv, {b.grad_o, c.dv, 1}, b.v_columns, b.ds, kKeys, false);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t at = (row + i) * c.heads + head;
    line(c, b.p + i * kKeys, b.ds + i * kKeys, round_up(keys, kNR),
         keys_of(c, s, query + i, key, keys), c.lse[at], sums.delta[at]);
  }
  multiply_packed(keys, c.dv, n, {b.p, 1, kKeys}, b.grad_o_rows, b.grad_v, shape.dv, true);
  multiply_packed(keys, c.d, n, {b.ds, 1, kKeys}, b.q_rows, b.grad_k, shape.d, true);
  multiply_packed(n, c.d, keys, {b.ds, kKeys, 1}, b.k_rows, b.grad_q, shape.d, false);
  add_rows(b.grad_q, shape.d, n, c.d, dq + (row * c.heads + head) * c.d, c.heads * c.d);
}

/// The keys [from, to) of a sequence, for one kv head.
template <class T>
void key_range(const AttentionCall& c, const Shape& shape, const Sums& sums, const Buffers& b,
               const Sequence& s, int64_t kv_head, int64_t from, int64_t to, float* dq) {
  for (int64_t key = from; key < to; key += kKeys) {
    const int64_t keys = least(kKeys, to - key), row = s.key + key;
    const T* k = (const T*)c.k + row * c.k_row + kv_head * c.k_head;
    const T* v = (const T*)c.v + row * c.v_row + kv_head * c.v_head;
    pack_as_columns(k, c.k_row, c.d, keys, b.k_columns);
    pack_as_rows(k, c.k_row, keys, c.d, b.k_rows);
    pack_as_columns(v, c.v_row, c.dv, keys, b.v_columns);
    memset(b.grad_k, 0, sizeof(float) * (size_t)(kKeys * shape.d));
    memset(b.grad_v, 0, sizeof(float) * (size_t)(kKeys * shape.dv));
    for (int64_t query = 0; query < s.queries; query += kQueries) {
      const int64_t n = least(kQueries, s.queries - query);
      const Span seen = keys_seen(c, s, query, n);
      if (seen.to <= key || seen.from >= key + keys) continue;
      for (int64_t g = 0; g < shape.group; ++g)
        block_pair<T>(c, shape, sums, b, s, kv_head * shape.group + g, query, n, key, keys, dq);
    }
    add_rows(b.grad_k, shape.d, keys, c.d, sums.dk + (row * c.kv_heads + kv_head) * c.d,
             c.kv_heads * c.d);
    add_rows(b.grad_v, shape.dv, keys, c.dv, sums.dv + (row * c.kv_heads + kv_head) * c.dv,
             c.kv_heads * c.dv);
  }
}

bool keys_overlap(const AttentionCall& c) {
  for (int64_t j = 1; j < c.sequences; ++j)
    if (c.k_begin[j] < c.k_begin[j - 1] + c.k_len[j - 1]) return true;
  return false;
}

/// delta = do o
template <class T>
void deltas(const AttentionCall& c, float* delta) {
  GRAFT_OMP(for schedule(static))
  for (int64_t i = 0; i < c.rows * c.heads; ++i) {
    const int64_t r = i / c.heads, h = i % c.heads;
    const T* o = (const T*)c.o + r * c.o_row + h * c.o_head;
    const T* g = (const T*)c.grad_o + r * c.grad_o_row + h * c.grad_o_head;
    F total = {};
    strip(c.dv, [&](int64_t j, auto n) { total += load(o + j, n) * load(g + j, n); });
    delta[i] = sum(total);
  }
}

/// out = the sum of `parts` copies of [rows, heads, width]
template <class T>
void write_sums(const float* from, int64_t parts, int64_t rows, int64_t heads, int64_t width,
                T* out, int64_t row, int64_t head) {
  GRAFT_OMP(for schedule(static))
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t h = 0; h < heads; ++h)
      strip(width, [&](int64_t j, auto n) {
        const float* p = from + (r * heads + h) * width + j;
        F total = load(p, n);
        for (int64_t i = 1; i < parts; ++i) total += load(p + i * rows * heads * width, n);
        store(out + r * row + h * head + j, total, n);
      });
}

/// All threads of the team call this together.
template <class T>
void backward(const AttentionCall& c, const Shape& shape, const Sums& sums, bool overlap) {
  const Buffers b = buffers_of(c, shape);
  const int64_t dq_size = c.rows * c.heads * c.d;
  const int64_t all = shape.parts * dq_size + c.key_rows * c.kv_heads * (c.d + c.dv);
  const int64_t piece = 65536;
  GRAFT_OMP(for schedule(static) nowait)
  for (int64_t i = 0; i < all; i += piece)
    memset(sums.dq + i, 0, sizeof(float) * (size_t)least(piece, all - i));
  deltas<T>(c, sums.delta);
  if (overlap) {
    GRAFT_OMP(for schedule(dynamic))
    for (int64_t h = 0; h < c.kv_heads; ++h)
      for (int64_t j = 0; j < c.sequences; ++j) {
        const Sequence s = sequence_of(c, j);
        key_range<T>(c, shape, sums, b, s, h, 0, s.keys, sums.dq);
      }
  } else {
    const int64_t units = shape.parts * c.kv_heads;
    GRAFT_OMP(for schedule(dynamic))
    for (int64_t i = 0; i < c.sequences * units; ++i) {
      const Sequence s = sequence_of(c, i / units);
      const int64_t part = i % units / c.kv_heads;
      // Parts are whole blocks of keys; the first ones of a causal sequence cost most.
      const int64_t blocks = ceil_div(s.keys, kKeys);
      const int64_t from = blocks * part / shape.parts * kKeys;
      const int64_t to = least(s.keys, blocks * (part + 1) / shape.parts * kKeys);
      key_range<T>(c, shape, sums, b, s, i % c.kv_heads, from, to, sums.dq + part * dq_size);
    }
  }
  write_sums(sums.dq, shape.parts, c.rows, c.heads, c.d, (T*)c.grad_q, c.grad_q_row, c.grad_q_head);
  write_sums(sums.dk, 1, c.key_rows, c.kv_heads, c.d, (T*)c.grad_k, c.grad_k_row, c.grad_k_head);
  write_sums(sums.dv, 1, c.key_rows, c.kv_heads, c.dv, (T*)c.grad_v, c.grad_v_row, c.grad_v_head);
}

}  // namespace

uint64_t attention_bwd_workspace(const AttentionCall* c) {
  const Shape s = shape_of(*c);
  return sizeof(float) *
         (uint64_t)(c->threads * s.floats + c->rows * c->heads * (1 + s.parts * c->d) +
                    c->key_rows * c->kv_heads * (c->d + c->dv));
}

void attention_bwd(const AttentionCall* call) {
  const AttentionCall& c = *call;
  const Shape shape = shape_of(c);
  const Sums sums = sums_of(c, shape);
  const bool overlap = keys_overlap(c);
  with_type(c.type, [&](auto t) {
    GRAFT_OMP(parallel num_threads(c.threads))
    backward<typename decltype(t)::type>(c, shape, sums, overlap);
  });
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
