// AdamW: Adam with decoupled weight decay, step for step as torch.optim.AdamW.
//
//   m = b1 m + (1 - b1) g          v = b2 v + (1 - b2) g^2
//   p = p (1 - lr wd) - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
//
// Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization" (arXiv:1711.05101),
// algorithm 2.
#include <cmath>
#include <graft/plugin.hpp>

namespace {

using graft::plugin::attr;
using graft::plugin::Config;
using graft::plugin::Update;

struct AdamW {
  static constexpr const char* name = "adamw";
  static constexpr std::uint32_t flags = GRAFT_OPTIMIZER_ELEMENTWISE;
  static constexpr std::uint32_t n_state = 2;  // m, v
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {
      "betas": {"type": "array", "minItems": 2, "maxItems": 2, "default": [0.9, 0.999],
        "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "description": "Decay of the running means of the gradient and of its square"},
      "eps": {"type": "number", "minimum": 0, "default": 1e-8,
        "description": "Added to the denominator"},
      "weight_decay": {"type": "number", "minimum": 0, "default": 0.01,
        "description": "Each step takes lr * weight_decay of every decayed parameter"}
    }})";

  explicit AdamW(Config c)
      : beta1(c.f64("/betas/0")),
        beta2(c.f64("/betas/1")),
        eps(c.f64("/eps")),
        weight_decay(c.f64("/weight_decay")) {}

  std::array<double, 3> scalars(const graft_step& step) const {
    const double t = static_cast<double>(step.index);
    const double decay = step.decays ? 1 - step.lr * weight_decay : 1;
    return {decay, step.lr / (1 - std::pow(beta1, t)), 1 / std::sqrt(1 - std::pow(beta2, t))};
  }

  void update(const Update& u) const {
    for (std::uint32_t i = 0; i < u.size(); ++i) {
      graft::plugin::call<0>("adam_update",
                             {u.grad(i), u.scalar(0), u.scalar(1), u.scalar(2), u.param(i),
                              u.state(i, 0), u.state(i, 1)},
                             {attr("beta1", beta1), attr("beta2", beta2), attr("eps", eps)});
    }
  }

  double beta1, beta2, eps, weight_decay;
};

}  // namespace

GRAFT_OPTIMIZER_PLUGIN(AdamW, "org.graft.adamw", "0.1.0", "graft", "Apache-2.0")
