// Stochastic gradient descent with momentum, step for step as torch.optim.SGD.
//
//   g = grad + wd p
//   b = momentum b + (1 - dampening) g     in the first step b = g
//   p = p - lr b, with Nesterov p - lr (g + momentum b), without momentum p - lr g
//
// Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep
// learning", section 2, in the form that torch.optim.SGD documents.
#include <graft/plugin.hpp>

namespace {

using graft::plugin::Config;
using graft::plugin::Error;
using graft::plugin::Update;
using graft::plugin::Value;

struct Sgd {
  static constexpr const char* name = "sgd";
  static constexpr std::uint32_t flags = GRAFT_OPTIMIZER_ELEMENTWISE;
  static constexpr std::uint32_t n_state = 1;  // the momentum buffer
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {
      "momentum": {"type": "number", "minimum": 0, "default": 0,
        "description": "How much of the last direction is kept"},
      "dampening": {"type": "number", "default": 0,
        "description": "How much of the gradient is left out of the direction"},
      "nesterov": {"type": "boolean", "default": false,
        "description": "Nesterov momentum; needs momentum above 0 and dampening 0"},
      "weight_decay": {"type": "number", "minimum": 0, "default": 0,
        "description": "weight_decay * parameter is added to the gradient"}
    }})";

  explicit Sgd(Config c)
      : momentum(c.f64("/momentum")),
        dampening(c.f64("/dampening")),
        nesterov(c.flag("/nesterov")),
        weight_decay(c.f64("/weight_decay")) {
    if (nesterov && (momentum <= 0 || dampening != 0)) {
      throw Error(GRAFT_E_INVALID, "nesterov needs momentum above 0 and dampening 0; momentum is " +
                                       std::string(c.json("/momentum")) + ", dampening is " +
                                       std::string(c.json("/dampening")));
    }
  }

  std::array<double, 3> scalars(const graft_step& step) const {
    return {step.lr, step.decays ? weight_decay : 0, step.index == 1 ? 1 : 1 - dampening};
  }

  void update(const Update& u) const {
    const Value lr = u.scalar(0), decay = u.scalar(1), share = u.scalar(2);
    for (std::uint32_t i = 0; i < u.size(); ++i) {
      const Value p = u.param(i);
      Value g = u.grad(i);
      if (weight_decay > 0) g = g + p * decay;
      if (momentum > 0) {
        const Value b = u.state(i) * momentum + g * share;
        u.assign(u.state(i), b);
        g = nesterov ? g + b * momentum : b;
      }
      u.assign(p, p - g * lr);
    }
  }

  double momentum, dampening;
  bool nesterov;
  double weight_decay;
};

}  // namespace

GRAFT_OPTIMIZER_PLUGIN(Sgd, "org.graft.sgd", "0.1.0", "graft", "Apache-2.0")
