// (IA)3: learned vectors that scale activations.
//
//   feed-forward modules   y = W (l * x) + b     l [1, in]
//   the others             y = l * (W x + b)     l [out, 1]
//
// With strength t the vector is 1 + t (l - 1).
//
// Source: Liu et al. 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than
// In-Context Learning" (arXiv:2205.05638), section 3.3. PEFT scales the output of the linear layer,
// that is, keys before the rotation.
#include <graft/plugin.hpp>

namespace {
using namespace graft::plugin;

struct Ia3 {
  static constexpr const char* name = "ia3";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {
      "feedforward": {"default": null, "x-graft-modules": true,
        "x-graft-default": {"llama": ["down_proj"], "mistral": ["down_proj"], "qwen2": ["down_proj"],
                            "qwen3": ["down_proj"], "gemma": ["down_proj"], "gemma2": ["down_proj"],
                            "gemma3_text": ["down_proj"], "gpt2": ["mlp.c_proj"],
                            "gpt_neox": ["dense_4h_to_h"]},
        "description": "targets whose input is scaled instead of their output",
        "anyOf": [{"type": "string", "description": "a regular expression for whole names"},
                  {"type": "array", "items": {"type": "string"},
                   "description": "a list of ends of names"},
                  {"type": "null", "description": "PEFT's for the type of the model, of the targets"}]},
      "init": {"type": "string", "enum": ["ones", "random"], "default": "ones",
        "description": "ones: the model stays as it is. random: normal"}
    }, "x-graft-targets": {
      "llama": ["k_proj", "v_proj", "down_proj"], "mistral": ["k_proj", "v_proj", "down_proj"],
      "qwen2": ["q_proj", "v_proj", "down_proj"], "qwen3": ["q_proj", "v_proj", "down_proj"],
      "gemma": ["q_proj", "v_proj", "down_proj"], "gemma2": ["q_proj", "v_proj", "down_proj"],
      "gemma3_text": ["q_proj", "v_proj", "down_proj"], "gpt2": ["c_attn", "mlp.c_proj"],
      "gpt_neox": ["query_key_value", "dense_4h_to_h"]}})";
  static constexpr const char* storage = R"({
    "peft_type": "IA3", "host": ["targets", "exclude", "modules_to_save"],
    "fields": {"feedforward": "feedforward_modules",
               "init": {"key": "init_ia3_weights", "values": {"ones": [true], "random": [false]}}},
    "constants": {"fan_in_fan_out": false}
  })";

  struct State {
    Param l;
    bool feedforward;
    std::int64_t size;
  };

  explicit Ia3(Config c) : random(c.str("/init") == "random") {}

  State attach(const Site& t) const {
    const bool inner = t.config().flag("/feedforward");
    const Init init = random ? Init::normal(1) : Init::ones();
    if (inner) return {t.param("ia3_l", {1, t.in_features()}, init), true, t.in_features()};
    return {t.param("ia3_l", {t.out_features(), 1}, init), false, t.out_features()};
  }

  static Value scale(const State& s, const Hook& h) { return (h(s.l) - 1.0) * h.strength() + 1.0; }

  void forward(const State& s, const Hook& h) const {
    const Value l = scale(s, h).reshape({s.size});
    h.out(s.feedforward ? h.next(h.in() * l) : h.next() * l);
  }

  Merged merge(const State& s, const Hook& h) const {
    const Value l = scale(s, h);
    const bool with_bias = h.bias() && !s.feedforward;
    return {h.weight() * l, with_bias ? h.bias() * l.reshape({s.size}) : h.bias()};
  }

  bool random;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Ia3, "org.graft.ia3", "0.1.0", "graft", "Apache-2.0")
