// graft/plugin_pair.hpp: the pair A, B of LoRA and its relatives, of linear layers and embeddings, how it
// begins, and how it is written.
//
// Source of what A and B begin as: PiSSA: Meng et al. 2024 (arXiv:2404.02948), eq. (3); OLoRA: Buyukakyuz
// 2024 (arXiv:2406.01775), algorithm 1; LoftQ: Li et al. 2023 (arXiv:2310.08659), one round, s B A what W
// has lost by quantizing. Names of tensors are PEFT's.
#ifndef GRAFT_PLUGIN_PAIR_HPP
#define GRAFT_PLUGIN_PAIR_HPP
#include <algorithm>
#include <cstdio>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "plugin_lowrank.hpp"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

/// How a pair begins, and what else is particular in it.
struct PairInit {
  std::string init = "kaiming";  ///< or gaussian, pissa, olora, loftq
  const float* a = nullptr;      ///< A of linear layers, where given
  std::uint32_t flags_a = 0;     ///< GRAFT_PARAM_*
  double lr_b = 1;               ///< B's learning rate is so many times that of the step

  /// A and B begin as factors of W, which is then less their product.
  bool from_weight() const { return init == "pissa" || init == "olora"; }
};

/// Of a linear layer A [r, in] and B [out, r], of an embedding A [r, vocabulary] and B [hidden, r].
struct Pair {
  Param a, b, a0, b0;  // a0, b0: where a and b began, if that is not without effect
  double scale = 0, alpha = 0;
  std::int64_t rank = 0, in = 0, out = 0;
  std::string site = {};

  static Pair attach(const Site& t, const PairInit& how, std::int64_t r, double alpha,
                     bool rslora) {
    const std::int64_t in = t.in_features(), out = t.out_features();
    Pair p{{}, {}, {}, {}, lora_scale(alpha, r, rslora), alpha, r, in, out, t.name()};
    if (t.kind() == GRAFT_SITE_EMBEDDING) {
      if (how.from_weight() || how.init == "loftq") {
        refuse("init \"", how.init, "\" is for linear layers; '", t.name(),
               "' is an embedding. Leave it out.");
      }
      p.a = t.param("lora_embedding_A", {r, in}, Init::zeros(), how.flags_a);
      p.b = t.param("lora_embedding_B", {out, r}, Init::normal(1), 0, how.lr_b);
      return p;
    }
    Init a = Init::kaiming_uniform(), b = Init::zeros();
    if (how.init == "gaussian") a = Init::normal(1.0 / static_cast<double>(r));
    if (how.a) a = Init::these(how.a);
    if (how.from_weight()) {
      const std::uint32_t own = GRAFT_PARAM_FROZEN | GRAFT_PARAM_NOSAVE;
      a = how.init == "pissa" ? Init::svd_right("weight", p.scale) : Init::qr_right("weight");
      b = how.init == "pissa" ? Init::svd_left("weight", p.scale) : Init::qr_left("weight");
      p.a0 = t.param("first_A", {r, in}, a, own);
      p.b0 = t.param("first_B", {out, r}, b, own);
    }
    if (how.init == "loftq") {
      a = Init::svd_right("weight.lost", p.scale);
      b = Init::svd_left("weight.lost", p.scale);
    }
    p.a = t.param("lora_A.weight", {r, in}, a, how.flags_a);
    p.b = t.param("lora_B.weight", {out, r}, b, 0, how.lr_b);
    return p;
  }

  /// A x; of an embedding, whose x are ids, there is no input to drop from, as in PEFT.
  Value thin(const Hook& h, double dropout) const {
    const Value x = h.in();
    return h.kind() == GRAFT_SITE_EMBEDDING ? x.gather_from(h(a).t())
                                            : x.dropout(dropout).mmT(h(a));
  }
  /// B A, less what they began as, as the weight has it.
  Value matrix(const Hook& h) const {
    Value ba = h(b).mm(h(a));
    if (a0.tensor) ba = ba - h(b0).mm(h(a0));
    return h.kind() == GRAFT_SITE_EMBEDDING ? ba.t() : ba;
  }

  /// Writes B A - B0 A0 as a pair of twice the rank.
  void save_doubled(const Values& now, const AdapterFile& file) const {
    std::vector<float> both_a = now.value(a, rank * in), both_b;
    const std::vector<float> first_a = now.value(a0, rank * in);
    const std::vector<float> its_b = now.value(b, out * rank), first_b = now.value(b0, out * rank);
    both_a.insert(both_a.end(), first_a.begin(), first_a.end());
    for (auto row = its_b.begin(), row0 = first_b.begin(); row != its_b.end();
         row += rank, row0 += rank) {
      both_b.insert(both_b.end(), row, row + rank);
      std::transform(row0, row0 + rank, std::back_inserter(both_b), std::negate<>());
    }
    file.tensor(a, {2 * rank, in}, both_a);
    file.tensor(b, {out, 2 * rank}, both_b);
  }
};

/// A number of a saved option.
inline std::string option_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

/// Writes rank_pattern and alpha_pattern: what of the pairs, times these, is not the common one.
inline void save_patterns(const std::vector<const Pair*>& pairs, std::int64_t rank, double alpha,
                          std::int64_t times_rank, double times_alpha, const AdapterFile& file) {
  file.option("/rank_pattern", "{}");
  file.option("/alpha_pattern", "{}");
  for (const Pair* p : pairs) {
    if (p->rank != rank) {
      file.option("/rank_pattern/" + p->site, std::to_string(p->rank * times_rank));
    }
    if (p->alpha != alpha) {
      file.option("/alpha_pattern/" + p->site, option_number(p->alpha * times_alpha));
    }
  }
}

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
