// GaLore: Adam on gradients of matrices projected to a low rank, so that its states are small.
//
//   every `interval` steps     P: the leading `rank` singular vectors of g, of its shorter side
//   R = P^T g (or g P)         m = b1 m + (1 - b1) R         v = b2 v + (1 - b2) R^2
//   N = m / (sqrt(v) + eps)    p = (p - scale lr sqrt(1 - b2^t) / (1 - b1^t) P N (or N P^T)) (1 - lr wd)
//
// Other parameters have P = 1 and scale = 1. The subspace is found by subspace iteration from the one
// before, Y = orthonormal((g g^T) Y), instead of a whole singular value decomposition.
//
// Source: Zhao et al. 2024, "GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection"
// (arXiv:2403.03507), algorithm 2, with the bias correction of the authors' code.
#include <algorithm>
#include <cmath>
#include <graft/plugin_adam.hpp>

namespace {

using graft::plugin::Config;
using graft::plugin::Update;
using graft::plugin::Value;
using Dims = std::vector<std::int64_t>;

struct Galore {
  static constexpr const char* name = "galore";
  static constexpr std::uint32_t flags = 0;
  static constexpr std::uint32_t n_state = 3;   // m, v, P
  static constexpr std::uint32_t n_phases = 2;  // 1: P is found anew
  static constexpr const char* schema = R"json({
    "type": "object", "additionalProperties": false, "properties": {
      "rank": {"type": "integer", "minimum": 1, "default": 128,
        "description": "Of the projection; matrices with no longer side are not projected"},
      "interval": {"type": "integer", "minimum": 1, "default": 200,
        "description": "Steps between two projections (update_proj_gap)"},
      "scale": {"type": "number", "exclusiveMinimum": 0, "default": 0.25,
        "description": "Factor on projected updates"},
      "targets": {"type": "array", "minItems": 1, "items": {"type": "string"},
        "default": ["self_attn", "mlp"],
        "description": "Matrices whose names hold one of these are projected"},
      "iterations": {"type": "integer", "minimum": 1, "default": 4,
        "description": "Of the subspace iteration that finds a projection"},
      )json" GRAFT_ADAM_OPTIONS(1e-6, 0) "}}";

  explicit Galore(Config c)
      : rank(c.i64("/rank")),
        interval(c.i64("/interval")),
        iterations(c.i64("/iterations")),
        scale(c.f64("/scale")),
        adam(c),
        targets(c.strings("/targets")) {}

  bool projected(std::string_view parameter, const Dims& dims) const {
    if (dims.size() != 2 || std::min(dims[0], dims[1]) <= rank) return false;
    return graft::plugin::holds_one_of(parameter, targets);
  }

  Dims state(std::string_view parameter, const Dims& dims, std::uint32_t k) const {
    if (!projected(parameter, dims)) return k == 2 ? Dims() : dims;
    const bool wide = dims[0] < dims[1];
    if (k == 2) return {wide ? dims[0] : dims[1], rank};
    return wide ? Dims{rank, dims[1]} : Dims{dims[0], rank};
  }

  std::uint32_t phase(const graft_step& step) const { return (step.index - 1) % interval == 0; }

  std::array<double, 2> scalars(const graft_step& step) const {
    const double t = static_cast<double>(step.index);
    return {step.lr * std::sqrt(1 - std::pow(adam.beta2, t)) / (1 - std::pow(adam.beta1, t)),
            step.decays ? 1 - step.lr * adam.weight_decay : 1};
  }

  /// The leading singular vectors of g's shorter side, as columns.
  Value subspace(Value g, bool wide, Value start) const {
    const std::int64_t side = start.dim(0);
    Value y = start.reshape({1, side, rank}).orthonormal();
    for (std::int64_t i = 0; i < iterations; ++i) {
      const Value flat = y.reshape({side, rank});
      const Value turned = wide ? g.mm(g.tmm(flat)) : g.tmm(g.mm(flat));
      y = turned.reshape({1, side, rank}).orthonormal();
    }
    return y.reshape({side, rank});
  }

  void update(const Update& u) const {
    for (std::uint32_t i = 0; i < u.size(); ++i) {
      const Value p = u.param(i), g = u.grad(i), kept = u.state(i, 2);
      const bool wide = kept && g.dim(0) < g.dim(1);
      Value basis = kept, r = g;
      if (kept && u.phase() == 1) {
        basis = subspace(g, wide, kept);
        u.assign(kept, basis);
      }
      if (kept) r = wide ? basis.tmm(g) : g.mm(basis);
      const Value m = u.state(i, 0) * adam.beta1 + r * (1 - adam.beta1);
      const Value v = u.state(i, 1) * adam.beta2 + r * r * (1 - adam.beta2);
      u.assign(u.state(i, 0), m);
      u.assign(u.state(i, 1), v);
      Value step = m / (v.sqrt() + adam.eps);
      if (kept) step = (wide ? basis.mm(step) : step.mmT(basis)) * scale;
      u.assign(p, (p - step * u.scalar(0)) * u.scalar(1));
    }
  }

  std::int64_t rank, interval, iterations;
  double scale;
  graft::plugin::Adam adam;
  std::vector<std::string> targets;
};

}  // namespace

GRAFT_OPTIMIZER_PLUGIN(Galore, "org.graft.galore", "0.1.0", "graft", "Apache-2.0")
