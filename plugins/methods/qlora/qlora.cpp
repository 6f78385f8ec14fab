// QLoRA: LoRA over a base that is quantized while it is loaded. What is trained and how is the work of
// the method that "base" names; this one says how the base lies in memory.
//
// Source: Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs" (arXiv:2305.14314),
// section 3: 4-bit NormalFloat, double quantization.
#include <graft/plugin.hpp>

namespace {
using namespace graft::plugin;

struct Qlora {
  static constexpr const char* name = "qlora";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR | GRAFT_SITE_EMBEDDING;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false,
    "x-graft-optimizer": {"type": "adamw", "lr": 2e-4, "paged": true}, "properties": {
      "base": {"enum": ["lora", "dora"], "default": "lora", "x-graft-method": true,
        "description": "the method whose options this takes besides, and that is trained"},
      "quantization": {"type": "object", "additionalProperties": true, "x-graft-quantization": true,
        "default": {"format": "nf4"}, "description": "of the base: format nf4, fp4 or int8; block, double, skip"}
    }})";

  struct State {};

  explicit Qlora(Config) {}

  [[noreturn]] static void not_here() {
    throw Error(GRAFT_E_STATE, "qlora: the method that \"base\" names does the work.");
  }
  State attach(const Site&) const { not_here(); }
  void forward(const State&, const Hook&) const { not_here(); }
};

}  // namespace

GRAFT_METHOD_PLUGIN(Qlora, "org.graft.qlora", "0.1.0", "graft", "Apache-2.0")
