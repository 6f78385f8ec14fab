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
#include <graft/plugin_lowrank.hpp>

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
    Param a, b, m, norm;  // norm: that of W, which stays
    double scale;
  };

  explicit Dora(Config c) : dropout(c.f64("/dropout")), gaussian(c.str("/init") == "gaussian") {}

  State attach(const Site& t) const {
    const std::int64_t r = t.config().i64("/rank"), in = t.in_features(), out = t.out_features();
    const bool table = t.kind() == GRAFT_SITE_EMBEDDING;
    const Init of_a =
        gaussian ? Init::normal(1.0 / static_cast<double>(r)) : Init::kaiming_uniform();
    const Init norm = table ? Init::column_norm("weight") : Init::row_norm("weight");
    return {
        t.param(table ? "lora_embedding_A" : "lora_A.weight", {r, in},
                table ? Init::zeros() : of_a),
        t.param(table ? "lora_embedding_B" : "lora_B.weight", {out, r},
                table ? Init::normal(1) : Init::zeros()),
        t.param("lora_magnitude_vector", {out}, norm, GRAFT_PARAM_WIDE),
        t.param("norm", {out}, norm, GRAFT_PARAM_WIDE | GRAFT_PARAM_FROZEN | GRAFT_PARAM_NOSAVE),
        lora_scale(t.config())};
  }

  // g = m / n. `columns`: W is [in, out], an embedding's.
  Value gain(const State& s, const Hook& h, bool columns) const {
    const Value a = h(s.a), b = h(s.b), w = h.weight(), m = h(s.m), norm = h(s.norm);
    const Value c = columns ? w.tmm(a.t()) : w.mmT(a);
    const Value cross = (c * b).cast(m.dtype()), square = (b.mm(a.mmT(a)) * b).cast(m.dtype());
    const Value sums = (cross * (2 * s.scale) + square * (s.scale * s.scale)).sum(-1);
    return m / (norm * norm + sums).detach().sqrt();
  }

  void forward(const State& s, const Hook& h) const {
    const Value x = h.in(), a = h(s.a), b = h(s.b), y = h.next();
    const bool table = h.kind() == GRAFT_SITE_EMBEDDING;
    const Value g = gain(s, h, table) * h.strength().cast(h(s.m).dtype());
    const Value less = h.strength().cast(g.dtype());
    const Value dropped = table ? x : x.dropout(dropout);
    const Value u = table ? x.gather_from(a.t()) : dropped.mmT(a);
    Value core = y;
    if (dropped.tensor() != x.tensor()) {
      core = dropped.mmT(h.weight());
    } else if (h.bias() && !table) {
      core = y - h.bias();
    }
    h.out(y + core * (g - less).cast(y.dtype()) + (u * s.scale).mmT(b) * g.cast(y.dtype()));
  }

  Merged merge(const State& s, const Hook& h) const {
    const bool table = h.kind() == GRAFT_SITE_EMBEDDING;
    const Value ba = h(s.b).mm(h(s.a)) * s.scale, w = h.weight();
    const Value v = w + (table ? ba.t() : ba), g = gain(s, h, table).cast(w.dtype());
    const Value scaled = v * (table ? g : g.reshape({g.dim(0), 1}));
    return {w + (scaled - w) * h.strength(), h.bias()};
  }

  double dropout;
  bool gaussian;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Dora, "org.graft.dora", "0.1.0", "graft", "Apache-2.0")
