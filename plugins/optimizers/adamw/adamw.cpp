// AdamW: Adam with decoupled weight decay, step for step as torch.optim.AdamW.
//
//   m = b1 m + (1 - b1) g          v = b2 v + (1 - b2) g^2
//   p = p (1 - lr wd) - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
//
// Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization" (arXiv:1711.05101),
// algorithm 2.
#include <graft/plugin_adam.hpp>

namespace {

using graft::plugin::Adam;
using graft::plugin::Config;
using graft::plugin::Update;

struct AdamW {
  static constexpr const char* name = "adamw";
  static constexpr std::uint32_t flags = GRAFT_OPTIMIZER_ELEMENTWISE;
  static constexpr std::uint32_t n_state = 2;  // m, v
  static constexpr const char* schema =
      R"({"type": "object", "additionalProperties": false, "properties": {)" GRAFT_ADAM_OPTIONS(
          1e-8, 0.01) "}}";

  explicit AdamW(Config c) : adam(c) {}

  std::array<double, 3> scalars(const graft_step& step) const {
    return adam.scalars(step, step.lr);
  }

  void update(const Update& u) const {
    for (std::uint32_t i = 0; i < u.size(); ++i) adam.update(u, i);
  }

  Adam adam;
};

}  // namespace

GRAFT_OPTIMIZER_PLUGIN(AdamW, "org.graft.adamw", "0.1.0", "graft", "Apache-2.0")
