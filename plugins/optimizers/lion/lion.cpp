// Lion: the sign of an interpolated momentum, with decoupled weight decay.
//
//   p = p (1 - lr wd) - lr sign(b1 m + (1 - b1) g)          m = b2 m + (1 - b2) g
//
// Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms" (arXiv:2302.06675),
// algorithm 2.
#include <graft/plugin_adam.hpp>

namespace {

using graft::plugin::Config;
using graft::plugin::Update;
using graft::plugin::Value;

struct Lion {
  static constexpr const char* name = "lion";
  static constexpr std::uint32_t flags = GRAFT_OPTIMIZER_ELEMENTWISE;
  static constexpr std::uint32_t n_state = 1;  // m
  static constexpr const char* schema =
      R"({"type": "object", "additionalProperties": false, "properties": {)" GRAFT_BETAS_OPTION(
          0.9, 0.99,
          "How much of the momentum is in the direction, and how much of it is kept") ", " 
      GRAFT_WEIGHT_DECAY_OPTION(0) "}}";

  explicit Lion(Config c)
      : beta1(c.f64("/betas/0")), beta2(c.f64("/betas/1")), weight_decay(c.f64("/weight_decay")) {}

  std::array<double, 2> scalars(const graft_step& step) const {
    return {step.lr, step.decays ? 1 - step.lr * weight_decay : 1};
  }

  void update(const Update& u) const {
    const Value lr = u.scalar(0), decay = u.scalar(1);
    for (std::uint32_t i = 0; i < u.size(); ++i) {
      const Value p = u.param(i), g = u.grad(i), m = u.state(i);
      const Value sign = (m * beta1 + g * (1 - beta1)).act(GRAFT_ACT_SIGN);
      u.assign(p, p * decay - sign * lr);
      u.assign(m, m * beta2 + g * (1 - beta2));
    }
  }

  double beta1, beta2, weight_decay;
};

}  // namespace

GRAFT_OPTIMIZER_PLUGIN(Lion, "org.graft.lion", "0.1.0", "graft", "Apache-2.0")
