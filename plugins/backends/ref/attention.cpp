#include <algorithm>
#include <cmath>

#include "kernels.hpp"

namespace graft::ref {
namespace {

struct Setting {
  std::vector<std::int32_t> cu_q, k_begin, k_len;
  std::int64_t heads, kv_heads, d, dv, window;
  double scale, softcap;
  bool causal;

  Setting(const graft_kernel_args& args, const graft_view& q, const graft_view& k,
          const graft_view& v, std::uint32_t first_length)
      : cu_q(load_ids(args.in[first_length])),
        k_begin(load_ids(args.in[first_length + 1])),
        k_len(load_ids(args.in[first_length + 2])),
        heads(q.shape[1]),
        kv_heads(k.shape[1]),
        d(q.shape[2]),
        dv(v.shape[2]),
        window(attr_i(&args, "window")),
        scale(attr_f(&args, "scale", 1)),
        softcap(attr_f(&args, "softcap")),
        causal(attr_i(&args, "causal")) {
    require(q.ndim == 3 && k.ndim == 3 && v.ndim == 3, "attention: q, k and v have 3 axes");
    require(k.shape[2] == d, "attention: q and k differ in head_dim");
    require(v.shape[0] == k.shape[0] && v.shape[1] == kv_heads, "attention: k and v differ");
    require(kv_heads > 0 ? heads % kv_heads == 0 : heads == 0,
            "attention: heads is not a multiple of kv_heads");
    require(!cu_q.empty() && k_begin.size() + 1 == cu_q.size() && k_len.size() == k_begin.size(),
            "attention: cu_q is [s + 1], k_begin and k_len are [s]");
    for (std::size_t s = 0; s < k_len.size(); ++s)
      require(cu_q[s] >= 0 && cu_q[s] <= cu_q[s + 1] && cu_q[s + 1] <= q.shape[0] &&
                  k_begin[s] >= 0 && k_len[s] >= 0 && k_begin[s] + k_len[s] <= k.shape[0],
              "attention: a sequence's rows are not among those of q and k");
  }

  double capped(double dot) const {
    return softcap > 0 ? softcap * std::tanh(scale * dot / softcap) : scale * dot;
  }
};

// One query and the rows of k that it sees, `from` to `to` - 1.
struct Query {
  std::int64_t row, head, kv_head, from, to;
};

template <typename F>
void for_each_query(const Setting& set, F&& f) {
  for (std::size_t s = 0; s < set.k_len.size(); ++s) {
    const std::int64_t n_keys = set.k_len[s], first_key = set.k_begin[s];
    for (std::int64_t row = set.cu_q[s]; row < set.cu_q[s + 1]; ++row) {
      const std::int64_t position = n_keys - (set.cu_q[s + 1] - row);
      const std::int64_t to = set.causal ? std::max<std::int64_t>(position + 1, 0) : n_keys;
      const std::int64_t from =
          set.window > 0 ? std::max<std::int64_t>(position - set.window + 1, 0) : 0;
      for (std::int64_t head = 0; head < set.heads; ++head)
        f(Query{row, head, head / (set.heads / set.kv_heads), first_key + from,
                first_key + std::max(to, from)});
    }
  }
}

double dot(const double* a, const double* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// y += factor * x
void add_scaled(double* y, double factor, const double* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

}  // namespace

void attention(const graft_kernel_args& args) {
  const Setting set(args, args.in[0], args.in[1], args.in[2], 3);
  const Values q = load(args.in[0]), k = load(args.in[1]), v = load(args.in[2]);
  Values o(static_cast<std::size_t>(elements(args.out[0])));
  Values lse(static_cast<std::size_t>(elements(args.out[1])), -INFINITY);
  Values p;
  for_each_query(set, [&](const Query& query) {
    const std::int64_t at = query.row * set.heads + query.head;
    p.clear();
    for (std::int64_t key = query.from; key < query.to; ++key)
      p.push_back(set.capped(dot(q.data() + at * set.d,
                                 k.data() + (key * set.kv_heads + query.kv_head) * set.d, set.d)));
    if (p.empty()) return;
    const double max = *std::max_element(p.begin(), p.end());
    double sum = 0;
    for (double& value : p) sum += value = std::exp(value - max);
    for (std::int64_t key = query.from; key < query.to; ++key)
      add_scaled(o.data() + at * set.dv, p[key - query.from] / sum,
                 v.data() + (key * set.kv_heads + query.kv_head) * set.dv, set.dv);
    lse[at] = max + std::log(sum);
  });
  store(o, args.out[0]);
  store(lse, args.out[1]);
}

//   p = exp(score - lse)             dv += p do
//   dscore = p (do v - do o)         d(q k) = scale dscore (1 - (score / softcap)^2)
//   dq += d(q k) k                   dk += d(q k) q
void attention_bwd(const graft_kernel_args& args) {
  const Setting set(args, args.in[1], args.in[2], args.in[3], 6);
  const Values grad = load(args.in[0]), q = load(args.in[1]), k = load(args.in[2]),
               v = load(args.in[3]), o = load(args.in[4]), lse = load(args.in[5]);
  Values dq(q.size()), dk(k.size()), dv(v.size());
  for_each_query(set, [&](const Query& query) {
    const std::int64_t at = query.row * set.heads + query.head;
    const double* g = grad.data() + at * set.dv;
    const double through_o = dot(g, o.data() + at * set.dv, set.dv);
    for (std::int64_t key = query.from; key < query.to; ++key) {
      const std::int64_t kv = key * set.kv_heads + query.kv_head;
      const double score = set.capped(dot(q.data() + at * set.d, k.data() + kv * set.d, set.d));
      const double p = std::exp(score - lse[at]);
      add_scaled(dv.data() + kv * set.dv, p, g, set.dv);
      double slope = set.scale * p * (dot(g, v.data() + kv * set.dv, set.dv) - through_o);
      if (set.softcap > 0) slope *= 1 - (score / set.softcap) * (score / set.softcap);
      add_scaled(dq.data() + at * set.d, slope, k.data() + kv * set.d, set.d);
      add_scaled(dk.data() + kv * set.d, slope, q.data() + at * set.d, set.d);
    }
  });
  store(dq, args.out[0]);
  store(dk, args.out[1]);
  store(dv, args.out[2]);
}

}  // namespace graft::ref
