// DoRA: LoRA's direction with a magnitude of its own for each output.
//
//   linear      V = W + s B A          y = b + g (x V^T)       g = m / n, n the row norms of V
//   embedding   V = W + s (B A)^T      y = g V[ids]            n the column norms
//
// No gradient flows through n, and the bias is not scaled. B A is never formed: with C = W A^T,
//   n^2 = |W_row|^2 + 2 s sum(C * B) + s^2 sum((B A A^T) * B)   by rows.
// In training with dropout the part of W sees the dropped input as well, as in PEFT.
//
// Source: Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation" (arXiv:2402.09353),
// eq. (5) and section 4.3 for the detached norm.
#include <graft/plugin_pair.hpp>

namespace {
using namespace graft::plugin;

struct Dora {
  static constexpr const char* name = "dora";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR | GRAFT_SITE_EMBEDDING;
  static constexpr const char* schema =
      R"({)" GRAFT_LORA_TARGETS
      R"(, "type": "object", "additionalProperties": false, "properties": {)" GRAFT_LORA_OPTIONS
      R"(, "init": {"type": "string", "enum": ["kaiming", "gaussian"], "default": "kaiming",
        "description": "A of linear layers: uniform within 1 / sqrt(in_features), or normal / rank"},
      )" GRAFT_BIAS_OPTION "}}";
  static constexpr const char* storage = R"({"peft_type": "LORA", "fields": {)" GRAFT_LORA_FIELDS
                                         R"(, "init": {"key": "init_lora_weights",
                    "values": {"kaiming": [true, false], "gaussian": ["gaussian"]}}, "bias": "bias"},
      "constants": {"use_dora": true, "fan_in_fan_out": false, "lora_bias": false,
                    "use_qalora": false, "layer_replication": null},
      "ignored": [)" GRAFT_LORA_IGNORED "]}";

  struct State {
    Pair pair;
    Param m, norm;  // norm: that of W, which stays
  };

  explicit Dora(Config c) : dropout(c.f64("/dropout")), how{std::string(c.str("/init"))} {}

  State attach(const Site& t) const {
    const Pair pair = Pair::attach(t, how, t.config().i64("/rank"), t.config().f64("/alpha"),
                                   t.config().flag("/rslora"));
    const bool table = t.kind() == GRAFT_SITE_EMBEDDING;
    const Init norm = table ? Init::column_norm("weight") : Init::row_norm("weight");
    const std::uint32_t own = GRAFT_PARAM_WIDE | GRAFT_PARAM_FROZEN | GRAFT_PARAM_NOSAVE;
    return {pair, t.param("lora_magnitude_vector", {pair.out}, norm, GRAFT_PARAM_WIDE),
            t.param("norm", {pair.out}, norm, own)};
  }

  // g = m / n. `columns`: W is [in, out], an embedding's.
  Value gain(const State& s, const Hook& h, bool columns) const {
    const Value a = h(s.pair.a), b = h(s.pair.b), w = h.weight(), m = h(s.m), norm = h(s.norm);
    const double scale = s.pair.scale;
    const Value c = columns ? w.tmm(a.t()) : w.mmT(a);
    const Value cross = (c * b).cast(m.dtype()), square = (b.mm(a.mmT(a)) * b).cast(m.dtype());
    const Value sums = (cross * (2 * scale) + square * (scale * scale)).sum(-1);
    return m / (norm * norm + sums).detach().sqrt();
  }

  void forward(const State& s, const Hook& h) const {
    const Value x = h.in(), y = h.next(), t = h.strength().cast(h(s.m).dtype());
    const bool table = h.kind() == GRAFT_SITE_EMBEDDING;
    const Value g = gain(s, h, table) * t + (1.0 - t);
    // With strength t the part of W is scaled by g, that of s B A by t m / n: what is less there is in B.
    const Value less = 1.0 - (1.0 - t) / (g + 1e-15);
    const Value b = h(s.pair.b) * less.cast(y.dtype()).reshape({s.pair.out, 1});
    const Value dropped = table ? x : x.dropout(dropout);
    const bool drops = dropped.tensor() != x.tensor();
    const bool biased = h.bias() && !table;
    const Value w = drops ? dropped.mmT(h.weight()) : biased ? y - h.bias() : y;
    const Value u = table ? s.pair.thin(h, 0) : dropped.mmT(h(s.pair.a));
    const Value v = w + (u * s.pair.scale).mmT(b);
    const bool wide = g.dtype() == y.dtype();  // else g would lose what differs from 1
    const Value made = wide ? v * g : v + v * (g - 1.0).cast(y.dtype());
    h.out(drops ? (y - w) + made : biased ? made + h.bias() : made);
  }

  Merged merge(const State& s, const Hook& h) const {
    const bool table = h.kind() == GRAFT_SITE_EMBEDDING;
    const Value w = h.weight(), v = w + s.pair.matrix(h) * s.pair.scale;
    const Value g = gain(s, h, table).cast(w.dtype());
    const Value scaled = v * (table ? g : g.reshape({g.dim(0), 1}));
    return h.plus((scaled - w) * h.strength());
  }

  double dropout;
  PairInit how;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Dora, "org.graft.dora", "0.1.0", "graft", "Apache-2.0")
