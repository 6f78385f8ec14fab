// AdamW with its states in 8 bits: a code for each number and a scale for each 256, as bitsandbytes
// keeps them.
//
//   m = b1 m + (1 - b1) g          v = b2 v + (1 - b2) g^2
//   p = p (1 - lr wd) - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
//   then m and v go into codes of the dynamic maps
//
// Source: Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization" (arXiv:2110.02861).
#include <algorithm>
#include <cmath>
#include <graft/plugin.hpp>

namespace {

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
  static constexpr const char* schema = R"json({
    "type": "object", "additionalProperties": false, "properties": {
      "betas": {"type": "array", "minItems": 2, "maxItems": 2, "default": [0.9, 0.999],
        "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "description": "Decay of the running means of the gradient and of its square"},
      "eps": {"type": "number", "minimum": 0, "default": 1e-8,
        "description": "Added to the denominator"},
      "weight_decay": {"type": "number", "minimum": 0, "default": 0.01,
        "description": "Each step takes lr * weight_decay of every decayed parameter"},
      "min_8bit_size": {"type": "integer", "minimum": 1, "default": 4096,
        "description": "Parameters of fewer numbers have states in f32"},
      "exclude": {"type": "array", "items": {"type": "string"},
        "default": ["embed_tokens.weight", "embed_in.weight", "wte.weight", "wpe.weight"],
        "description": "Parameters whose names hold one of these have states in f32"}
    }})json";

  explicit AdamW8Bit(Config c)
      : beta1(c.f64("/betas/0")),
        beta2(c.f64("/betas/1")),
        eps(c.f64("/eps")),
        weight_decay(c.f64("/weight_decay")),
        least(c.i64("/min_8bit_size")),
        exclude(c.strings("/exclude")) {}

  Dims state(std::string_view parameter, const Dims& dims, std::uint32_t k) const {
    std::int64_t n = 1;
    for (const std::int64_t d : dims) n *= d;
    const bool wide = n < least || graft::plugin::holds_one_of(parameter, exclude);
    if (k < 2) return wide ? dims : Dims{(n + kBlock - 1) / kBlock};
    return wide ? Dims() : dims;
  }
  std::uint32_t state_dtype(std::uint32_t k) const { return k < 2 ? 0 : GRAFT_U8; }

  std::array<double, 3> scalars(const graft_step& step) const {
    const double t = static_cast<double>(step.index);
    const double decay = step.decays ? 1 - step.lr * weight_decay : 1;
    return {decay, step.lr / (1 - std::pow(beta1, t)), 1 / std::sqrt(1 - std::pow(beta2, t))};
  }

  void update(const Update& u) const {
    for (std::uint32_t i = 0; i < u.size(); ++i) {
      const Value g = u.grad(i), decay = u.scalar(0), size = u.scalar(1), denom = u.scalar(2);
      const Value p = u.param(i), m = u.state(i, 0), v = u.state(i, 1);
      const auto with = {attr("beta1", beta1), attr("beta2", beta2), attr("eps", eps)};
      if (u.state(i, 2)) {
        graft::plugin::call<0>(
            "adam8_update", {g, decay, size, denom, p, u.state(i, 2), u.state(i, 3), m, v}, with);
      } else {
        graft::plugin::call<0>("adam_update", {g, decay, size, denom, p, m, v}, with);
      }
    }
  }

  double beta1, beta2, eps, weight_decay;
  std::int64_t least;
  std::vector<std::string> exclude;
};

}  // namespace

GRAFT_OPTIMIZER_PLUGIN(AdamW8Bit, "org.graft.adamw8bit", "0.1.0", "graft", "Apache-2.0")
