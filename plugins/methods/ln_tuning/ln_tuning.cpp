// LayerNorm tuning: the weights of norms are trained, all else is frozen.
//
// Source: Zhao et al. 2023, "Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM
// Finetuning" (arXiv:2312.11420), section 3.
#include <graft/plugin.hpp>

namespace {
using namespace graft::plugin;

struct LnTuning {
  static constexpr const char* name = "ln_tuning";
  static constexpr std::uint32_t kinds = GRAFT_SITE_NORM;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {},
    "x-graft-targets": {
      "qwen2": ["post_attention_layernorm"], "qwen3": ["post_attention_layernorm"],
      "gemma3_text": ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                      "post_feedforward_layernorm", "norm"],
      "": ".*(norm|ln_)[12f]?"}})";
  static constexpr const char* storage = R"({
    "peft_type": "LN_TUNING", "host": ["targets", "exclude", "modules_to_save"]})";

  struct State {};

  explicit LnTuning(Config) {}

  State attach(const Site& t) const {
    t.param("ln_tuning_layers.weight", {t.in_features()}, Init::base("weight"),
            GRAFT_PARAM_REPLACES);
    if (t.has_bias()) {
      t.param("ln_tuning_layers.bias", {t.in_features()}, Init::base("bias"), GRAFT_PARAM_REPLACES);
    }
    return {};
  }
};

}  // namespace

GRAFT_METHOD_PLUGIN(LnTuning, "org.graft.ln_tuning", "0.1.0", "graft", "Apache-2.0")
