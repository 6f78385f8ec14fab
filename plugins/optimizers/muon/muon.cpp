// Muon: momentum made orthogonal, for matrices, step for step as torch.optim.Muon but that the iteration
// is in f32; AdamW for all other parameters.
//
//   m = b m + (1 - b) g            u = m, with Nesterov (1 - b) g + b m
//   X = u / max(|u|, eps), then steps times  X = a X + (b' A + c A A) X,  A = X X^T
//   p = p (1 - lr wd) - lr s X     s = sqrt(max(1, rows / columns)), or 0.2 sqrt(max(rows, columns))
//
// X is transposed while rows > columns.
//
// Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the second
// s: Liu et al. 2025, "Muon is Scalable for LLM Training" (arXiv:2502.16982), section 2.2.
#include <cmath>
#include <graft/plugin_adam.hpp>

namespace {

using graft::plugin::Adam;
using graft::plugin::Config;
using graft::plugin::Update;
using graft::plugin::Value;
using Dims = std::vector<std::int64_t>;

struct Muon {
  static constexpr const char* name = "muon";
  static constexpr std::uint32_t flags = 0;
  static constexpr std::uint32_t n_state = 2;  // momentum, AdamW's second moment
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {
      "momentum": {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0.95,
        "description": "Decay of the running mean of a matrix's gradient"},
      "nesterov": {"type": "boolean", "default": true, "description": "Nesterov momentum"},
      "ns_coefficients": {"type": "array", "minItems": 3, "maxItems": 3,
        "default": [3.4445, -4.775, 2.0315], "items": {"type": "number"},
        "description": "a, b', c of the iteration"},
      "ns_steps": {"type": "integer", "minimum": 1, "default": 5, "description": "Its steps"},
      "adjust_lr": {"type": "string", "enum": ["original", "match_rms_adamw"], "default": "original",
        "description": "How a matrix's learning rate depends on its extents"},
      "exclude": {"type": "array", "items": {"type": "string"}, "default": ["embed_tokens", "lm_head"],
        "description": "Matrices whose names hold one of these are left to AdamW"},
      "adamw_lr_ratio": {"type": "number", "exclusiveMinimum": 0, "default": 1,
        "description": "AdamW's learning rate over that of the matrices"},
      )" GRAFT_BETAS_OPTION(0.9, 0.999, "AdamW's") ", " GRAFT_EPS_OPTION(
      1e-8, "AdamW's") ", " GRAFT_WEIGHT_DECAY_OPTION(0.1) "}}";

  explicit Muon(Config c)
      : adam(c),
        momentum(c.f64("/momentum")),
        a(c.f64("/ns_coefficients/0")),
        b(c.f64("/ns_coefficients/1")),
        c3(c.f64("/ns_coefficients/2")),
        ratio(c.f64("/adamw_lr_ratio")),
        steps(c.i64("/ns_steps")),
        nesterov(c.flag("/nesterov")),
        match_rms(c.str("/adjust_lr") == "match_rms_adamw"),
        exclude(c.strings("/exclude")) {}

  bool is_matrix(std::string_view parameter, std::size_t axes) const {
    return axes == 2 && !graft::plugin::holds_one_of(parameter, exclude);
  }

  Dims state(std::string_view parameter, const Dims& dims, std::uint32_t k) const {
    return k == 1 && is_matrix(parameter, dims.size()) ? Dims() : dims;
  }

  std::array<double, 5> scalars(const graft_step& step) const {
    const auto [decay, size, root] = adam.scalars(step, step.lr * ratio);
    return {step.lr, step.decays ? 1 - step.lr * adam.weight_decay : 1, decay, size, root};
  }

  Value orthogonal(Value x) const {
    const bool tall = x.dim(0) > x.dim(1);
    if (tall) x = x.t();
    const Value norm = (x * x).sum(-1).sum(0, true).sqrt();
    x = x / ((norm - 1e-7).relu() + 1e-7);
    for (std::int64_t i = 0; i < steps; ++i) {
      const Value square = x.mmT(x);
      x = x * a + (square * b + square.mm(square) * c3).mm(x);
    }
    return tall ? x.t() : x;
  }

  void update(const Update& u) const {
    for (std::uint32_t i = 0; i < u.size(); ++i) {
      const Value p = u.param(i), g = u.grad(i);
      if (!is_matrix(u.name(i), g.rank())) {
        adam.update(u, i, 2);
        continue;
      }
      const Value m = u.state(i) * momentum + g * (1 - momentum);
      u.assign(u.state(i), m);
      const double rows = static_cast<double>(g.dim(0)), columns = static_cast<double>(g.dim(1));
      const double scale = match_rms ? 0.2 * std::sqrt(std::max(rows, columns))
                                     : std::sqrt(std::max(1.0, rows / columns));
      const Value x = orthogonal(nesterov ? g * (1 - momentum) + m * momentum : m);
      u.assign(p, p * u.scalar(1) - x * (u.scalar(0) * scale));
    }
  }

  Adam adam;
  double momentum, a, b, c3, ratio;
  std::int64_t steps;
  bool nesterov, match_rms;
  std::vector<std::string> exclude;
};

}  // namespace

GRAFT_OPTIMIZER_PLUGIN(Muon, "org.graft.muon", "0.1.0", "graft", "Apache-2.0")
