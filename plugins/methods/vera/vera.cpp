// VeRA: one frozen random pair A, B for all layers; each learns two vectors.
//
//   y = W x + b + lb * (B_l (ld * (A_l dropout(x))))     A [r, max in], B [max out, r]
//
// A_l and B_l are the first columns of A and the first rows of B, as many as the layer has inputs
// and outputs. The pair is what torch draws from the key, so that PEFT makes the same one.
//
// Source: Kopiczko et al. 2023, "VeRA: Vector-based Random Matrix Adaptation" (arXiv:2310.11454),
// eq. (2), section 3.2.
#include <cmath>
#include <graft/plugin_lowrank.hpp>

namespace {
using namespace graft::plugin;

struct Vera {
  static constexpr const char* name = "vera";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR;
  static constexpr const char* schema =
      R"({)" GRAFT_LORA_TARGETS
      R"(, "type": "object", "additionalProperties": false, "properties": {
      "rank": {"type": "integer", "minimum": 1, "default": 256,
        "description": "Rows of the shared A, columns of the shared B"},
      )" GRAFT_DROPOUT_OPTION R"(,
      "d_initial": {"type": "number", "default": 0.1, "description": "Where the vector d begins"},
      "key": {"type": "integer", "minimum": 0, "maximum": 4294967295, "default": 0,
        "description": "Seed of the shared pair"},
      "save_projection": {"type": "boolean", "default": true,
        "description": "Keep the shared pair in the adapter's file"},
      )" GRAFT_IDENTITY_OPTION(
          "identity: b is 0 and d is d_initial. random: b is 1, d is normal") "}}";
  static constexpr const char* storage = R"({
    "peft_type": "VERA", "host": ["targets", "layers", "modules_to_save"],
    "fields": {"rank": "r", "dropout": "vera_dropout", "d_initial": "d_initial",
               "key": "projection_prng_key", "save_projection": "save_projection",
               )" GRAFT_IDENTITY_FIELD R"(},
    "constants": {"bias": "none", "fan_in_fan_out": false}
  })";

  struct State {
    Param a, b, d, scale;
    std::int64_t in, out;
  };

  explicit Vera(Config c)
      : rank(c.i64("/rank")),
        key(c.i64("/key")),
        dropout(c.f64("/dropout")),
        d_initial(c.f64("/d_initial")),
        saved(c.flag("/save_projection")),
        random(c.str("/init") == "random") {}

  void plan(const std::vector<Site>& sites) { most = largest(sites); }

  State attach(const Site& t) const {
    const std::uint32_t pair =
        GRAFT_PARAM_SHARED | GRAFT_PARAM_FROZEN | (saved ? 0 : std::uint32_t{GRAFT_PARAM_NOSAVE});
    const double bound_a = std::sqrt(6.0 / static_cast<double>(most.in));
    const double bound_b = std::sqrt(6.0 / static_cast<double>(rank));
    return {t.param("vera_A", {rank, most.in}, Init::torch_uniform(bound_a, key, 0), pair),
            t.param("vera_B", {most.out, rank}, Init::torch_uniform(bound_b, key, rank * most.in),
                    pair),
            t.param("vera_lambda_d", {rank}, random ? Init::normal(1) : Init::constant(d_initial)),
            t.param("vera_lambda_b", {t.out_features()}, random ? Init::ones() : Init::zeros()),
            t.in_features(),
            t.out_features()};
  }

  void forward(const State& s, const Hook& h) const {
    const Value a = h(s.a).slice(1, 0, s.in), b = h(s.b).slice(0, 0, s.out);
    const Value v = h(s.scale) * h.strength();
    h.out(h.next() + vector_update(h.in().dropout(dropout), a, h(s.d), b, v));
  }

  Merged merge(const State& s, const Hook& h) const {
    const Value a = h(s.a).slice(1, 0, s.in), b = h(s.b).slice(0, 0, s.out);
    return h.plus(vector_matrix(a, h(s.d), b, h(s.scale)) * h.strength());
  }

  std::int64_t rank, key;
  Extents most;
  double dropout, d_initial;
  bool saved, random;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Vera, "org.graft.vera", "0.1.0", "graft", "Apache-2.0")
