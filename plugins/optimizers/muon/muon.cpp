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
#include <graft/plugin.hpp>

namespace {

using graft::plugin::attr;
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
      "betas": {"type": "array", "minItems": 2, "maxItems": 2, "default": [0.9, 0.999],
        "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "description": "AdamW's"},
      "eps": {"type": "number", "minimum": 0, "default": 1e-8, "description": "AdamW's"},
      "weight_decay": {"type": "number", "minimum": 0, "default": 0.1,
        "description": "Each step takes lr * weight_decay of every decayed parameter"}
    }})";

  explicit Muon(Config c)
      : momentum(c.f64("/momentum")),
        a(c.f64("/ns_coefficients/0")),
        b(c.f64("/ns_coefficients/1")),
        c3(c.f64("/ns_coefficients/2")),
        beta1(c.f64("/betas/0")),
        beta2(c.f64("/betas/1")),
        eps(c.f64("/eps")),
        weight_decay(c.f64("/weight_decay")),
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
    const double t = static_cast<double>(step.index), lr = step.lr * ratio;
    const double decay = step.decays ? weight_decay : 0;
    return {step.lr, 1 - step.lr * decay, 1 - lr * decay, lr / (1 - std::pow(beta1, t)),
            1 / std::sqrt(1 - std::pow(beta2, t))};
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
        graft::plugin::call<0>(
            "adam_update",
            {g, u.scalar(2), u.scalar(3), u.scalar(4), p, u.state(i, 0), u.state(i, 1)},
            {attr("beta1", beta1), attr("beta2", beta2), attr("eps", eps)});
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

  double momentum, a, b, c3, beta1, beta2, eps, weight_decay, ratio;
  std::int64_t steps;
  bool nesterov, match_rms;
  std::vector<std::string> exclude;
};

}  // namespace

GRAFT_OPTIMIZER_PLUGIN(Muon, "org.graft.muon", "0.1.0", "graft", "Apache-2.0")
