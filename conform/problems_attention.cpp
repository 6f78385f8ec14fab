#include <algorithm>

#include "oracle.hpp"
#include "problems.hpp"

namespace graft::conform {
namespace {

struct Sequence {
  std::int64_t queries, k_begin, k_len;
};

struct Attention {
  std::string what;
  std::vector<Sequence> sequences;
  std::int64_t krows, heads, kv_heads, d, dv;
  bool causal;
  std::int64_t window;
  double softcap;
  Layout q, k, o;  // v lies like k, do like q, dq like o
};

// Documents one after the other, keys and queries alike.
std::vector<Sequence> documents(const std::vector<std::int64_t>& lengths) {
  std::vector<Sequence> out;
  std::int64_t at = 0;
  for (const std::int64_t length : lengths) {
    out.push_back({length, at, length});
    at += length;
  }
  return out;
}

std::vector<Attention> cases() {
  const Layout dense, between{{1, 0, 2}, 1, 0, 0}, wide{{}, 1, 24, 0}, step{{}, 2, 0, 0};
  const auto mixed = documents({1, 2, 17, 64, 130});
  const std::int64_t total = 214;
  std::vector<Attention> out = {
      {"no sequences", {}, 0, 2, 1, 8, 8, true, 0, 0, dense, dense, dense},
      {"sequences of nothing", documents({0, 0}), 0, 2, 1, 8, 8, true, 0, 0, dense, dense, dense},
      {"one query, one key", documents({1}), 1, 1, 1, 1, 1, true, 0, 0, dense, dense, dense},
      {"odd", documents({5, 0, 3}), 8, 3, 3, 7, 7, true, 0, 0, dense, dense, dense},
      {"v narrower than k", documents({6, 9}), 15, 4, 2, 12, 5, true, 0, 0, dense, dense, dense},
      {"not causal", documents({5, 11}), 16, 4, 2, 16, 16, false, 0, 0, dense, dense, dense},
      {"window 3", documents({9, 14}), 23, 4, 2, 16, 16, true, 3, 0, dense, dense, dense},
      {"window 1", documents({9}), 9, 2, 1, 8, 8, true, 1, 0, dense, dense, dense},
      {"window 4, not causal", documents({9, 14}), 23, 2, 1, 8, 8, false, 4, 0, dense, dense,
       dense},
      {"softcap", documents({9, 14}), 23, 4, 2, 16, 16, true, 0, 1.5, dense, dense, dense},
      {"softcap, window, not causal", documents({13}), 13, 4, 4, 16, 16, false, 5, 2, dense, dense,
       dense},
      {"decode: one query, many keys",
       {{1, 0, 37}, {1, 37, 5}, {1, 42, 64}},
       106,
       6,
       2,
       16,
       16,
       true,
       0,
       0,
       dense,
       dense,
       dense},
      {"keys before the queries",
       {{3, 0, 10}, {7, 10, 20}},
       30,
       4,
       2,
       16,
       16,
       true,
       0,
       0,
       dense,
       dense,
       dense},
      {"keys before the queries, window",
       {{3, 0, 10}, {7, 10, 40}},
       50,
       4,
       2,
       16,
       16,
       true,
       6,
       0,
       dense,
       dense,
       dense},
      {"keys of nobody",
       {{4, 3, 9}, {6, 20, 6}},
       33,
       4,
       2,
       16,
       16,
       true,
       0,
       0,
       dense,
       dense,
       dense},
      {"two sequences share keys",
       {{4, 0, 12}, {5, 0, 12}, {2, 6, 8}},
       15,
       4,
       2,
       16,
       16,
       true,
       0,
       0,
       dense,
       dense,
       dense},
      {"sequences in another order than their keys",
       {{4, 12, 4}, {5, 5, 7}, {3, 0, 5}},
       16,
       2,
       1,
       8,
       8,
       true,
       0,
       0,
       dense,
       dense,
       dense},
      {"more queries than keys",
       {{7, 0, 4}, {3, 4, 0}},
       6,
       2,
       1,
       8,
       8,
       true,
       0,
       0,
       dense,
       dense,
       dense},
      {"more queries than keys, not causal",
       {{7, 0, 4}, {3, 4, 0}},
       6,
       2,
       1,
       8,
       8,
       false,
       0,
       0,
       dense,
       dense,
       dense},
      {"heads between rows", documents({5, 12}), 17, 4, 2, 16, 16, true, 0, 0, between, between,
       between},
      {"out of a wider row", documents({5, 12}), 17, 4, 2, 16, 16, true, 0, 0, wide, wide, wide},
      {"every second element", documents({5, 12}), 17, 4, 2, 16, 16, true, 0, 0, step, step, step},
      {"permuted", documents({5, 12}), 17, 4, 2, 16, 16, true, 0, 0, reversed(3), reversed(3),
       reversed(3)},
  };
  for (const std::int64_t kv_heads : {9, 3, 1})
    for (const bool causal : {true, false})
      out.push_back({"documents of 1 to 130, 9 heads on " + std::to_string(kv_heads) +
                         (causal ? "" : ", not causal"),
                     mixed, total, 9, kv_heads, 64, 64, causal, 0, 0, dense, dense, dense});
  out.push_back({"documents of 1 to 130, window 33", mixed, total, 6, 2, 40, 40, true, 33, 0, dense,
                 dense, dense});
  out.push_back({"documents of 1 to 130, softcap", mixed, total, 6, 2, 64, 64, true, 0, 3, dense,
                 dense, dense});
  out.push_back({"documents of 1 to 130, heads between rows", mixed, total, 6, 2, 64, 64, true, 0,
                 0, between, between, between});
  out.push_back(
      {"one long document", documents({300}), 300, 3, 1, 80, 80, true, 0, 0, dense, dense, dense});
  return out;
}

struct Sizes {
  std::int64_t rows;
  std::vector<std::int32_t> cu_q, k_begin, k_len;
};

Sizes sizes_of(const Attention& c) {
  Sizes out{0, {0}, {}, {}};
  for (const Sequence& s : c.sequences) {
    out.rows += s.queries;
    out.cu_q.push_back(static_cast<std::int32_t>(out.rows));
    out.k_begin.push_back(static_cast<std::int32_t>(s.k_begin));
    out.k_len.push_back(static_cast<std::int32_t>(s.k_len));
  }
  return out;
}

std::vector<graft_attr> attrs_of(const Attention& c) {
  // No power of two, and scores of several units.
  return {attr_real("scale", 1.7 / std::sqrt(static_cast<double>(c.d))), attr("causal", c.causal),
          attr("window", c.window), attr_real("softcap", c.softcap)};
}

std::vector<Operand> forward_operands(Maker& make, const Attention& c, const Sizes& sizes) {
  return {make.real({sizes.rows, c.heads, c.d}, c.q),
          make.real({c.krows, c.kv_heads, c.d}, c.k),
          make.real({c.krows, c.kv_heads, c.dv}, c.k, -1, 1),
          Maker::integers(sizes.cu_q),
          Maker::integers(sizes.k_begin),
          Maker::integers(sizes.k_len)};
}

// Calls f(q, k, p, score) for every query and key that it sees: the index of the query among
// [rows, heads] and that of the key among [krows, kv_heads], written apart from the reference.
template <typename F>
void for_each_pair(const Attention& c, const Values& q, const Values& k, F&& f) {
  const double scale = attrs_of(c)[0].f;
  std::int64_t row = 0;
  for (const Sequence& s : c.sequences) {
    for (std::int64_t i = 0; i < s.queries; ++i, ++row) {
      for (std::int64_t h = 0; h < c.heads; ++h) {
        const std::int64_t position = s.k_len - s.queries + i;
        std::vector<std::pair<std::int64_t, double>> seen;
        double max = -INFINITY, sum = 0;
        for (std::int64_t key = 0; key < s.k_len; ++key) {
          if (c.causal && key > position) continue;
          if (c.window > 0 && position - c.window >= key) continue;
          const std::int64_t at = (s.k_begin + key) * c.kv_heads + h / (c.heads / c.kv_heads);
          double score = 0;
          for (std::int64_t e = 0; e < c.d; ++e)
            score += q[(row * c.heads + h) * c.d + e] * k[at * c.d + e];
          score *= scale;
          if (c.softcap > 0) score = c.softcap * std::tanh(score / c.softcap);
          seen.emplace_back(at, score);
          max = std::max(max, score);
        }
        for (const auto& [at, score] : seen) sum += std::exp(score - max);
        for (const auto& [at, score] : seen)
          f(row * c.heads + h, at, std::exp(score - max) / sum, std::fabs(score));
      }
    }
  }
}

Scale forward_scale(const Attention& c) {
  return [c](const Problem& problem, const std::vector<Values>& right) {
    Values o(right[0].size()), lse(right[1].size(), NAN);  // NaN: nothing visible, any lse
    for_each_pair(c, problem.in[0].values, problem.in[1].values,
                  [&](std::int64_t q, std::int64_t k, double p, double score) {
                    for (std::int64_t e = 0; e < c.dv; ++e)
                      o[q * c.dv + e] +=
                          p * (1 + score) * std::fabs(problem.in[2].values[k * c.dv + e]);
                    lse[q] = std::max(std::isnan(lse[q]) ? 1 : lse[q], 1 + 2 * score);
                  });
    return std::vector<Values>{o, lse};
  };
}

Scale backward_scale(const Attention& c) {
  return [c](const Problem& problem, const std::vector<Values>& right) {
    const Values &grad = problem.in[0].values, &q = problem.in[1].values, &k = problem.in[2].values,
                 &v = problem.in[3].values, &o = problem.in[4].values;
    const double scale = attrs_of(c)[0].f;
    std::vector<Values> out;
    for (const Values& values : right) out.emplace_back(values.size());
    for_each_pair(c, q, k, [&](std::int64_t at, std::int64_t kv, double p, double score) {
      double slope = 0;
      for (std::int64_t e = 0; e < c.dv; ++e) {
        const double g = std::fabs(grad[at * c.dv + e]);
        slope += g * (std::fabs(v[kv * c.dv + e]) + std::fabs(o[at * c.dv + e]));
        out[2][kv * c.dv + e] += p * (1 + score) * g;
      }
      slope *= p * (1 + score) * scale;
      for (std::int64_t e = 0; e < c.d; ++e) {
        out[0][at * c.d + e] += slope * std::fabs(k[kv * c.d + e]);
        out[1][kv * c.d + e] += slope * std::fabs(q[at * c.d + e]);
      }
    });
    return out;
  };
}

}  // namespace

void attention_problems(Maker& make) {
  for (const Attention& c : cases()) {
    const Sizes sizes = sizes_of(c);
    Problem& problem = make.add(c.what, forward_operands(make, c, sizes),
                                {make.result({sizes.rows, c.heads, c.dv}, c.o),
                                 Maker::result_as(make.statistics(), {sizes.rows, c.heads})},
                                attrs_of(c), forward_scale(c));
    const auto n = static_cast<std::int64_t>(c.sequences.size());
    if (n > 2 && sizes.rows > 0) {
      // The last sequence away.
      const std::int64_t rows = sizes.cu_q[static_cast<std::size_t>(n - 1)];
      problem.fewer_rows = {{false, 0, 0, rows},  {false, 3, 0, n},   {false, 4, 0, n - 1},
                            {false, 5, 0, n - 1}, {true, 0, 0, rows}, {true, 1, 0, rows}};
    }
  }
}

void attention_bwd_problems(Maker& make) {
  for (const Attention& c : cases()) {
    const Sizes sizes = sizes_of(c);
    Problem forward;
    forward.in = forward_operands(make, c, sizes);
    forward.attrs = attrs_of(c);
    forward.out = {make.result({sizes.rows, c.heads, c.dv}),
                   Maker::result_as(make.statistics(), {sizes.rows, c.heads})};
    const auto results = reference("attention/1", forward, Precision::kF64);
    Operand o = make.real({sizes.rows, c.heads, c.dv}, c.o);
    o.values = rounded(results[0], make.type());
    Operand lse = make.real_as(make.statistics(), {sizes.rows, c.heads});
    lse.values = rounded(results[1], make.statistics());
    const auto& f = forward.in;
    make.add(
        c.what,
        {make.real({sizes.rows, c.heads, c.dv}, c.q, -1, 1), f[0], f[1], f[2], o, lse, f[3], f[4],
         f[5]},
        {make.result({sizes.rows, c.heads, c.d}, c.o), make.result({c.krows, c.kv_heads, c.d}, c.k),
         make.result({c.krows, c.kv_heads, c.dv}, c.k)},
        attrs_of(c), backward_scale(c));
  }
}

}  // namespace graft::conform
