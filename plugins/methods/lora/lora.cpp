// LoRA: a frozen linear layer or embedding plus a trainable product of two thin matrices.
//
//   linear      y = W x + b  + s B A dropout(x)      A [r, in], B [out, r]
//   embedding   y = W[ids]   + s (A^T)[ids] B^T      A [r, vocabulary], B [hidden, r]
//
// s = alpha / r, or alpha / sqrt(r) (rsLoRA), times the adapter's strength at run time.
//
// Source: Hu et al. 2021, "LoRA" (arXiv:2106.09685), section 4.1; Kalajdzievski 2023, "A Rank
// Stabilization Scaling Factor for Fine-Tuning with LoRA" (arXiv:2312.03732). Names of tensors and
// initial values are PEFT's.
#include <cmath>
#include <graft/plugin.hpp>

namespace {

using graft::plugin::Config;
using graft::plugin::Hook;
using graft::plugin::Init;
using graft::plugin::Param;
using graft::plugin::Site;
using graft::plugin::Value;

struct Lora {
  static constexpr const char* name = "lora";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR | GRAFT_SITE_EMBEDDING;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {
      "rank": {"type": "integer", "minimum": 1, "default": 8,
        "description": "Rows of A, columns of B: the size of the update"},
      "alpha": {"type": "number", "default": 16,
        "description": "The update is scaled by alpha / rank"},
      "dropout": {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0,
        "description": "Dropout on the input of A, in training"},
      "rslora": {"type": "boolean", "default": false,
        "description": "Scale by alpha / sqrt(rank) instead"},
      "rank_pattern": {"type": "object", "default": {}, "x-graft-overrides": "rank",
        "additionalProperties": {"type": "integer", "minimum": 1},
        "description": "Other ranks: module name (suffix or regular expression) to rank"},
      "alpha_pattern": {"type": "object", "default": {}, "x-graft-overrides": "alpha",
        "additionalProperties": {"type": "number"},
        "description": "Other alphas: module name (suffix or regular expression) to alpha"},
      "init": {"type": "string", "enum": ["kaiming", "gaussian"], "default": "kaiming",
        "description": "A of linear layers: uniform within 1 / sqrt(in_features), or normal / rank"}
    }})";
  static constexpr const char* storage = R"({
    "peft_type": "LORA",
    "fields": {
      "rank": "r",
      "alpha": {"key": "lora_alpha", "missing": 8},
      "dropout": "lora_dropout",
      "rslora": "use_rslora",
      "rank_pattern": "rank_pattern",
      "alpha_pattern": "alpha_pattern",
      "init": {"key": "init_lora_weights",
               "values": {"kaiming": [true, false, "orthogonal", "eva"], "gaussian": ["gaussian"]}}
    },
    "constants": {"bias": "none", "fan_in_fan_out": false, "use_dora": false, "lora_bias": false,
                  "use_qalora": false, "layer_replication": null},
    "ignored": ["revision", "auto_mapping", "peft_version", "runtime_config", "megatron_core",
                "loftq_config", "eva_config", "corda_config", "lora_ga_config",
                "qalora_group_size"]
  })";

  struct State {
    Param a, b;
    double scale;
  };

  explicit Lora(Config c)
      : dropout(c.f64("/dropout")),
        rslora(c.flag("/rslora")),
        gaussian(c.str("/init") == "gaussian") {}

  State attach(const Site& site) const {
    const std::int64_t rank = site.config().i64("/rank");
    const double r = static_cast<double>(rank);
    const double scale = site.config().f64("/alpha") / (rslora ? std::sqrt(r) : r);
    if (site.kind() == GRAFT_SITE_EMBEDDING) {
      return {site.param("lora_embedding_A", {rank, site.in_features()}, Init::zeros()),
              site.param("lora_embedding_B", {site.out_features(), rank}, Init::normal(1)), scale};
    }
    const Init a = gaussian ? Init::normal(1 / r) : Init::kaiming_uniform();
    return {site.param("lora_A.weight", {rank, site.in_features()}, a),
            site.param("lora_B.weight", {site.out_features(), rank}, Init::zeros()), scale};
  }

  void forward(const State& s, const Hook& h) const {
    const Value x = h.in(), a = h(s.a), b = h(s.b);
    // PEFT has no dropout on embeddings: there is no input to drop from.
    const Value u =
        h.kind() == GRAFT_SITE_EMBEDDING ? x.gather_from(a.t()) : x.dropout(dropout).mmT(a);
    h.out(h.next() + (u * (h.strength() * s.scale)).mmT(b));  // scaled where it is thin
  }

  double dropout;
  bool rslora, gaussian;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Lora, "org.graft.lora", "0.1.0", "graft", "Apache-2.0")
