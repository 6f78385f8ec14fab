// Adafactor: Adam's second moment of a matrix as one number per row and one per column, step for step
// as transformers.Adafactor with relative_step=False.
//
//   b = 1 - t^d                    s = g^2 + eps1
//   R = b R + (1 - b) mean over columns of s          C = b C + (1 - b) mean over rows of s
//   u = g / sqrt(R C / mean(R))    (vectors: V = b V + (1 - b) s, u = g / sqrt(V))
//   u = lr u / max(1, rms(u) / clip), with scale_parameter times max(eps2, rms(p))
//   with beta1: m = beta1 m + (1 - beta1) u, u = m
//   p = p - lr' wd p - u           lr' = lr, with scale_parameter times max(eps2, rms(p))
//
// Source: Shazeer and Stern 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost"
// (arXiv:1804.04235), algorithms 4 and 5.
#include <cmath>
#include <graft/plugin_adam.hpp>

namespace {

using graft::plugin::Config;
using graft::plugin::Update;
using graft::plugin::Value;
using Dims = std::vector<std::int64_t>;

double count(Value x) {
  double n = 1;
  for (std::uint32_t axis = 0; axis < x.rank(); ++axis) {
    n *= static_cast<double>(x.dim(static_cast<std::int32_t>(axis)));
  }
  return n;
}

/// Root of the mean of squares, [1].
Value rms(Value x) {
  Value sum = x * x;
  while (sum.rank() > 1) sum = sum.sum(-1);
  return (sum.sum(0, true) / count(x)).sqrt();
}

/// max(x, least)
Value at_least(Value x, double least) {
  return (x - least).relu() + least;
}

struct Adafactor {
  static constexpr const char* name = "adafactor";
  static constexpr std::uint32_t flags = 0;
  static constexpr std::uint32_t n_state = 3;  // R or V, C, m
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {
      "eps": {"type": "array", "minItems": 2, "maxItems": 2, "default": [1e-30, 1e-3],
        "items": {"type": "number", "minimum": 0},
        "description": "Added to the squared gradient; least size of a parameter for its learning rate"},
      "clip_threshold": {"type": "number", "exclusiveMinimum": 0, "default": 1.0,
        "description": "Largest root mean square of an update before the learning rate"},
      "decay_rate": {"type": "number", "exclusiveMaximum": 0, "default": -0.8,
        "description": "The running means forget 1 - t^decay_rate at step t"},
      "beta1": {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0,
        "description": "Decay of a running mean of updates; 0: none is kept"},
      "scale_parameter": {"type": "boolean", "default": true,
        "description": "Learning rates are relative to the size of each parameter"},
      )" GRAFT_WEIGHT_DECAY_OPTION(0) "}}";

  explicit Adafactor(Config c)
      : eps1(c.f64("/eps/0")),
        eps2(c.f64("/eps/1")),
        clip(c.f64("/clip_threshold")),
        decay_rate(c.f64("/decay_rate")),
        beta1(c.f64("/beta1")),
        scale_parameter(c.flag("/scale_parameter")),
        weight_decay(c.f64("/weight_decay")) {}

  Dims state(std::string_view, const Dims& dims, std::uint32_t k) const {
    if (k == 2) return beta1 > 0 ? dims : Dims();
    if (dims.size() < 2) return k == 0 ? dims : Dims();
    Dims means = dims;
    means[dims.size() - (k == 0 ? 1 : 2)] = 1;
    return means;
  }

  std::array<double, 4> scalars(const graft_step& step) const {
    const double forget = std::pow(static_cast<double>(step.index), decay_rate);
    return {step.lr, step.decays ? step.lr * weight_decay : 0, 1 - forget, forget};
  }

  void update(const Update& u) const {
    const Value beta2 = u.scalar(2), fresh = u.scalar(3);
    for (std::uint32_t i = 0; i < u.size(); ++i) {
      const Value p = u.param(i), g = u.grad(i);
      const Value squared = g * g + eps1;
      const auto mean = [&](std::uint32_t k, Value now) {
        const Value made = u.state(i, k) * beta2 + now * fresh;
        u.assign(u.state(i, k), made);
        return made;
      };
      Value step;
      if (g.rank() < 2) {
        step = g / mean(0, squared).sqrt();
      } else {
        const double rows = static_cast<double>(g.dim(-2)),
                     columns = static_cast<double>(g.dim(-1));
        const Value by_row = mean(0, squared.sum(-1, true) / columns);
        const Value by_column = mean(1, squared.sum(-2, true) / rows);
        step = g / (by_row / (by_row.sum(-2, true) / rows)).sqrt() / by_column.sqrt();
      }
      step = step / at_least(rms(step) / clip, 1);
      const Value size = scale_parameter ? at_least(rms(p), eps2) : Value();
      step = step * (size ? u.scalar(0) * size : u.scalar(0));
      if (beta1 > 0) {
        step = u.state(i, 2) * beta1 + step * (1 - beta1);
        u.assign(u.state(i, 2), step);
      }
      const Value decay = size ? u.scalar(1) * size : u.scalar(1);
      u.assign(p, p - p * decay - step);
    }
  }

  double eps1, eps2, clip, decay_rate, beta1;
  bool scale_parameter;
  double weight_decay;
};

}  // namespace

GRAFT_OPTIMIZER_PLUGIN(Adafactor, "org.graft.adafactor", "0.1.0", "graft", "Apache-2.0")
