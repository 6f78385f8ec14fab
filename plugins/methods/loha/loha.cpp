// LoHa: the update is the elementwise product of two low-rank matrices.
//
//   y = W x + b + s ((A1 B1) * (A2 B2)) x      Ai [out, r], Bi [r, in], s = alpha / r
//
// Source: Hyeon-Woo et al. 2021, "FedPara: Low-rank Hadamard Product for Communication-Efficient
// Federated Learning" (arXiv:2108.06098), eq. (2); Yeh et al. 2023, LyCORIS (arXiv:2309.14859).
#include <graft/plugin_lowrank.hpp>

namespace {
using namespace graft::plugin;

struct Loha {
  static constexpr const char* name = "loha";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR;
  static constexpr const char* schema =
      R"({)" GRAFT_LORA_TARGETS
      R"(, "type": "object", "additionalProperties": false, "properties": {)" GRAFT_RANK_OPTIONS
      ", " GRAFT_IDENTITY_OPTION("identity: B2 is 0. random: all are kaiming uniform") "}}";
  static constexpr const char* storage =
      R"({"peft_type": "LOHA", "fields": {)" GRAFT_RANK_FIELDS ", " GRAFT_IDENTITY_FIELD R"(},
      "constants": {"rank_dropout": 0.0, "module_dropout": 0.0, "use_effective_conv2d": false}})";

  struct State {
    Param a1, b1, a2, b2;
    double scale;
  };

  explicit Loha(Config c) : random(c.str("/init") == "random") {}

  State attach(const Site& t) const {
    const std::int64_t r = t.config().i64("/rank"), in = t.in_features(), out = t.out_features();
    const Init kaiming = Init::kaiming_uniform();
    return {t.param("hada_w1_a", {out, r}, kaiming), t.param("hada_w1_b", {r, in}, kaiming),
            t.param("hada_w2_a", {out, r}, kaiming),
            t.param("hada_w2_b", {r, in}, random ? kaiming : Init::zeros()),
            t.config().f64("/alpha") / static_cast<double>(r)};
  }

  static Value update(const State& s, const Hook& h) {
    return h(s.a1).mm(h(s.b1)) * h(s.a2).mm(h(s.b2)) * (h.strength() * s.scale);
  }
  void forward(const State& s, const Hook& h) const { h.out(h.next() + h.in().mmT(update(s, h))); }
  Merged merge(const State& s, const Hook& h) const { return h.plus(update(s, h)); }

  bool random;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Loha, "org.graft.loha", "0.1.0", "graft", "Apache-2.0")
