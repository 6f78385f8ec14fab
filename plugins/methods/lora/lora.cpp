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
#include <graft/plugin_lowrank.hpp>

namespace {
using namespace graft::plugin;

struct Lora {
  static constexpr const char* name = "lora";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR | GRAFT_SITE_EMBEDDING;
  static constexpr const char* schema =
      R"({"type": "object", "additionalProperties": false, "properties": {)" GRAFT_LORA_OPTIONS
      R"(, "init": {"type": "string", "enum": ["kaiming", "gaussian"], "default": "kaiming",
        "description": "A of linear layers: uniform within 1 / sqrt(in_features), or normal / rank"}
      }})";
  static constexpr const char* storage = R"({"peft_type": "LORA", "fields": {)" GRAFT_LORA_FIELDS
                                         R"(, "init": {"key": "init_lora_weights",
                    "values": {"kaiming": [true, false, "orthogonal", "eva"],
                               "gaussian": ["gaussian"]}}},
      "constants": {"bias": "none", "fan_in_fan_out": false, "use_dora": false, "lora_bias": false,
                    "use_qalora": false, "layer_replication": null},
      "ignored": [)" GRAFT_LORA_IGNORED "]}";

  struct State {
    Param a, b;
    double scale;
  };

  explicit Lora(Config c) : dropout(c.f64("/dropout")), gaussian(c.str("/init") == "gaussian") {}

  State attach(const Site& site) const {
    const std::int64_t rank = site.config().i64("/rank");
    const double scale = lora_scale(site.config());
    if (site.kind() == GRAFT_SITE_EMBEDDING) {
      return {site.param("lora_embedding_A", {rank, site.in_features()}, Init::zeros()),
              site.param("lora_embedding_B", {site.out_features(), rank}, Init::normal(1)), scale};
    }
    const Init a =
        gaussian ? Init::normal(1.0 / static_cast<double>(rank)) : Init::kaiming_uniform();
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

  Merged merge(const State& s, const Hook& h) const {
    const Value ba = h(s.b).mm(h(s.a)) * s.scale;
    return {h.weight() + (h.kind() == GRAFT_SITE_EMBEDDING ? ba.t() : ba) * h.strength(), h.bias()};
  }

  double dropout;
  bool gaussian;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Lora, "org.graft.lora", "0.1.0", "graft", "Apache-2.0")
