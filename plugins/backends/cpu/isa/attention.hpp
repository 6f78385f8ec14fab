// What both passes of attention share: blocks of queries against blocks of keys, as products of
// small f32 matrices.
#ifndef GRAFT_CPU_ISA_ATTENTION_HPP
#define GRAFT_CPU_ISA_ATTENTION_HPP
#include "plugins/backends/cpu/isa/micro.hpp"

namespace graft_cpu {
namespace GRAFT_ISA {

constexpr int64_t kQueries = 64;  // queries of a block
constexpr int64_t kKeys = 128;    // keys of a block

/// The queries and keys of one sequence. Query i of it stands at position first + i.
struct Sequence {
  int64_t query, queries, key, keys, first;
};
GRAFT_INLINE Sequence sequence_of(const AttentionCall& c, int64_t j) {
  Sequence s;
  s.query = c.cu_q[j];
  s.queries = c.cu_q[j + 1] - c.cu_q[j];
  s.key = c.k_begin[j];
  s.keys = c.k_len[j];
  s.first = s.keys - s.queries;
  return s;
}

/// Keys [from, to) of a sequence that some query in [query, query + n) sees.
struct Span {
  int64_t from, to;
};
GRAFT_INLINE Span keys_seen(const AttentionCall& c, const Sequence& s, int64_t query, int64_t n) {
  Span span{0, s.keys};
  if (c.causal) span.to = least(s.keys, s.first + query + n);
  if (c.window > 0) span.from = most((int64_t)0, s.first + query - c.window + 1);
  return span;
}

/// The same for one query and the keys [key, key + n), counted from `key`; never outside 0..n.
GRAFT_INLINE Span keys_of(const AttentionCall& c, const Sequence& s, int64_t query, int64_t key,
                          int64_t n) {
  const Span seen = keys_seen(c, s, query, 1);
  const int64_t from = least(most(seen.from - key, (int64_t)0), n);
  return {from, most(least(seen.to - key, n), from)};
}

/// n rows of `width` elements, `row` apart, to f32 rows of width `to_row`.
template <class T>
GRAFT_INLINE void expand_rows(const T* from, int64_t row, int64_t n, int64_t width, float* to,
                              int64_t to_row) {
  for (int64_t i = 0; i < n; ++i)
    strip(width, [&](int64_t j, auto count) {
      store(to + i * to_row + j, load(from + i * row + j, count), count);
    });
}

/// A right operand whose row l is source row l.
template <class T>
GRAFT_INLINE void pack_as_rows(const T* from, int64_t row, int64_t k, int64_t n, float* to) {
  for (int64_t j = 0; j < n; j += kNR)
    pack_rows(k, least((int64_t)kNR, n - j), from + j, row, to + j * k);
}

/// A right operand whose column j is source row j.
template <class T>
GRAFT_INLINE void pack_as_columns(const T* from, int64_t row, int64_t k, int64_t n, float* to) {
  for (int64_t j = 0; j < n; j += kNR)
    pack_columns(k, least((int64_t)kNR, n - j), from + j * row, row, to + j * k);
}

/// scale * dot products to scores, in place.
GRAFT_INLINE void cap_scores(const AttentionCall& c, float* scores, int64_t n) {
  if (c.softcap > 0) {
    const float inner = c.scale / c.softcap;
    strip(n, [&](int64_t j, auto count) {
      store(scores + j, c.softcap * vtanh(inner * load(scores + j, count)), count);
    });
  } else {
    strip(n, [&](int64_t j, auto count) {
      store(scores + j, c.scale * load(scores + j, count), count);
    });
  }
}

}  // namespace GRAFT_ISA
}  // namespace graft_cpu
#endif
