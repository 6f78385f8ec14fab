// RandLoRA: an update of full rank as a sum of products of frozen random matrices, one set for all
// layers; each layer learns how the products are scaled.
//
//   y = W x + b + (alpha / r) sum_j B_j diag(lambda_j) A diag(gamma_j) dropout(x),  j < n
//
// A [r, 1, small], B [large, n, r], lambda [r, n], gamma [n, small]; small and large are the lesser and
// the greater of a layer's inputs and outputs, n = ceil(small / r). Of the shared pair a layer takes as
// much as it needs. Where small is the number of outputs the sum is transposed. Rows of the left factor
// and columns of the right one are paired as PEFT flattens them: [r, n] by rows with [n, r] by rows.
//
// Source: Albert et al. 2025, "RandLoRA: Full-rank parameter-efficient fine-tuning of large models"
// (arXiv:2502.00987), eq. (4).
#include <algorithm>
#include <cmath>
#include <graft/plugin_lowrank.hpp>

namespace {
using namespace graft::plugin;

struct RandLora {
  static constexpr const char* name = "randlora";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR;
  static constexpr const char* schema =
      R"({)" GRAFT_LORA_TARGETS
      R"(, "type": "object", "additionalProperties": false, "properties": {
      "rank": {"type": "integer", "minimum": 1, "default": 32,
        "description": "Of each random product; the lower, the more are trained"},
      "alpha": {"type": "number", "default": 640, "description": "The update is scaled by alpha / rank"},
      )" GRAFT_DROPOUT_OPTION R"(
    }})";
  static constexpr const char* storage = R"({
    "peft_type": "RANDLORA", "host": ["targets", "layers", "modules_to_save"],
    "fields": {"rank": "r", "alpha": {"key": "randlora_alpha", "missing": 640},
               "dropout": "randlora_dropout"},
    "constants": {"bias": "none", "fan_in_fan_out": false, "save_projection": true},
    "computed": ["..randlora_A", "..randlora_B"],
    "ignored": ["projection_prng_key", "sparse", "very_sparse", "init_weights"]
  })";

  struct State {
    Param a, b, lambda, gamma;
    std::int64_t small, large, n;
    bool narrow;  // as many inputs as `small`
  };

  explicit RandLora(Config c)
      : rank(c.i64("/rank")),
        scale(lora_scale(c.f64("/alpha"), rank, false)),
        dropout(c.f64("/dropout")) {}

  std::int64_t products(std::int64_t small) const { return (small + rank - 1) / rank; }

  void plan(const std::vector<Site>& sites) {
    const Extents most = largest(sites);
    most_small = std::min(most.in, most.out);
    most_large = std::max(most.in, most.out);
  }

  State attach(const Site& t) const {
    const std::int64_t small = std::min(t.in_features(), t.out_features());
    const std::int64_t large = std::max(t.in_features(), t.out_features()), n = products(small);
    const std::uint32_t pair = GRAFT_PARAM_SHARED | GRAFT_PARAM_FROZEN;
    const Init unit = Init::uniform(std::sqrt(3.0));  // variance 1
    const double begin = 1 / static_cast<double>(std::max(n, small));
    return {t.param("randlora_A", {rank, 1, most_small}, unit, pair),
            t.param("randlora_B", {most_large, products(most_small), rank}, unit, pair),
            t.param("randlora_lambda", {rank, n}, Init::zeros()),
            t.param("randlora_gamma", {n, small}, Init::constant(begin)),
            small,
            large,
            n,
            small == t.in_features()};
  }

  /// [rank n, in] and [out, rank n]
  std::pair<Value, Value> factors(const State& s, const Hook& h) const {
    const Value scaled = h(s.lambda).reshape({rank, s.n, 1}) * h(s.a).slice(2, 0, s.small) *
                         h(s.gamma).reshape({1, s.n, s.small});
    const Value a = scaled.reshape({rank * s.n, s.small});
    const Value b = h(s.b).slice(0, 0, s.large).slice(1, 0, s.n).reshape({s.large, s.n * rank});
    return s.narrow ? std::pair{a, b} : std::pair{b.t(), a.t()};
  }

  void forward(const State& s, const Hook& h) const {
    const auto [right, left] = factors(s, h);
    h.out(h.next() + (h.in().dropout(dropout).mmT(right) * (h.strength() * scale)).mmT(left));
  }

  Merged merge(const State& s, const Hook& h) const {
    const auto [right, left] = factors(s, h);
    return h.plus(left.mm(right) * (h.strength() * scale));
  }

  std::int64_t rank, most_small = 0, most_large = 0;
  double scale, dropout;
};

}  // namespace

GRAFT_METHOD_PLUGIN(RandLora, "org.graft.randlora", "0.1.0", "graft", "Apache-2.0")
