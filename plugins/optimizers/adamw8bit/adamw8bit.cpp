// AdamW with its states in 8 bits: a code for each number and a scale for each 256, as bitsandbytes
// keeps them.
//
//   m = b1 m + (1 - b1) g          v = b2 v + (1 - b2) g^2
//   p = p (1 - lr wd) - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
//   then m and v go into codes of the dynamic maps
//
// Source: Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization" (arXiv:2110.02861).
#include <algorithm>
#include <graft/plugin_adam.hpp>

namespace {

using graft::plugin::Adam;
using graft::plugin::attr;
using graft::plugin::Config;
using graft::plugin::Update;
using graft::plugin::Value;
using Dims = std::vector<std::int64_t>;

constexpr std::int64_t kBlock = 256;

struct AdamW8Bit {
  static constexpr const char* name = "adamw8bit";
  static constexpr std::uint32_t flags = 0;
  /// Scales of m and v, or these themselves where they are f32; codes.
  static constexpr std::uint32_t n_state = 4;
  static constexpr const char* schema =
      R"({"type": "object", "additionalProperties": false, "properties": {)" GRAFT_ADAM_OPTIONS(
          1e-8, 0.01) R"(,
      "min_8bit_size": {"type": "integer", "minimum": 1, "default": 4096,
        "description": "Parameters of fewer numbers have states in f32"},
      "exclude": {"type": "array", "items": {"type": "string"},
        "default": ["embed_tokens.weight", "embed_in.weight", "wte.weight", "wpe.weight"],
        "description": "Parameters whose names hold one of these have states in f32"}
    }})";

  explicit AdamW8Bit(Config c)
      : adam(c), least(c.i64("/min_8bit_size")), exclude(c.strings("/exclude")) {}

  Dims state(std::string_view parameter, const Dims& dims, std::uint32_t k) const {
    std::int64_t n = 1;
    for (const std::int64_t d : dims) n *= d;
    const bool wide = n < least || graft::plugin::holds_one_of(parameter, exclude);
    if (k < 2) return wide ? dims : Dims{(n + kBlock - 1) / kBlock};
    return wide ? Dims() : dims;
  }
  std::uint32_t state_dtype(std::uint32_t k) const { return k < 2 ? 0 : GRAFT_U8; }

  std::array<double, 3> scalars(const graft_step& step) const {
    return adam.scalars(step, step.lr);
  }

  void update(const Update& u) const {
    for (std::uint32_t i = 0; i < u.size(); ++i) {
      if (!u.state(i, 2)) {
        adam.update(u, i);
        continue;
      }
      graft::plugin::call<0>(
          "adam8_update",
          {u.grad(i), u.scalar(0), u.scalar(1), u.scalar(2), u.param(i), u.state(i, 2),
           u.state(i, 3), u.state(i, 0), u.state(i, 1)},
          {attr("beta1", adam.beta1), attr("beta2", adam.beta2), attr("eps", adam.eps)});
    }
  }

  Adam adam;
  std::int64_t least;
  std::vector<std::string> exclude;
};

}  // namespace

GRAFT_OPTIMIZER_PLUGIN(AdamW8Bit, "org.graft.adamw8bit", "0.1.0", "graft", "Apache-2.0")
