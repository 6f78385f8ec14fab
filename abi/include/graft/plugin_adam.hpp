// graft/plugin_adam.hpp: what optimizers with running means of gradients share: options, and Adam's
// numbers of a step.
#ifndef GRAFT_PLUGIN_ADAM_HPP
#define GRAFT_PLUGIN_ADAM_HPP
#include <array>
#include <cmath>

#include "plugin.hpp"

/// Properties of a schema, by their defaults.
#define GRAFT_BETAS_OPTION(BETA1, BETA2, WHAT)                                                    \
  R"("betas": {"type": "array", "minItems": 2, "maxItems": 2, "default": [)" #BETA1 ", " #BETA2   \
  R"(], "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "description": ")" WHAT \
  "\"}"
#define GRAFT_EPS_OPTION(EPS, WHAT) \
  R"("eps": {"type": "number", "minimum": 0, "default": )" #EPS R"(, "description": ")" WHAT "\"}"
#define GRAFT_WEIGHT_DECAY_OPTION(DECAY)                                           \
  R"("weight_decay": {"type": "number", "minimum": 0, "default": )" #DECAY R"(, )" \
  R"("description": "Each step takes lr * weight_decay of every decayed parameter"})"
/// All three, as AdamW has them.
#define GRAFT_ADAM_OPTIONS(EPS, DECAY)                                                           \
  GRAFT_BETAS_OPTION(0.9, 0.999, "Decay of the running means of the gradient and of its square") \
  ", " GRAFT_EPS_OPTION(EPS, "Added to the denominator") ", " GRAFT_WEIGHT_DECAY_OPTION(DECAY)

#pragma GCC visibility push(hidden)
namespace graft::plugin {

/// These options, and what the op adam_update takes.
struct Adam {
  explicit Adam(const Config& c)
      : beta1(c.f64("/betas/0")),
        beta2(c.f64("/betas/1")),
        eps(c.f64("/eps")),
        weight_decay(c.f64("/weight_decay")) {}

  /// What is left of a parameter, the step's size and the factor on the root of the second mean.
  std::array<double, 3> scalars(const graft_step& step, double lr) const {
    const double t = static_cast<double>(step.index);
    return {step.decays ? 1 - lr * weight_decay : 1, lr / (1 - std::pow(beta1, t)),
            1 / std::sqrt(1 - std::pow(beta2, t))};
  }

  /// Updates the i-th parameter of a group; its states 0 and 1 are the means, its scalars from the k-th
  /// on those above.
  void update(const Update& u, std::uint32_t i, std::uint32_t k = 0) const {
    call<0>("adam_update",
            {u.grad(i), u.scalar(k), u.scalar(k + 1), u.scalar(k + 2), u.param(i), u.state(i, 0),
             u.state(i, 1)},
            {attr("beta1", beta1), attr("beta2", beta2), attr("eps", eps)});
  }

  double beta1, beta2, eps, weight_decay;
};

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
