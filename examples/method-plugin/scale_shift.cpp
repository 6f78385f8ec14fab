// Scale and shift: every output feature of a layer gets a factor and an offset, nothing else is
// trained.
//
//   y' = y + strength · ((scale - 1) ⊙ y + shift)      scale, shift [out_features], 1 and 0 at first
//
// Source: Lian et al. 2022, "Scaling & Shifting Your Features" (arXiv:2210.08823), eq. (3).
#include <graft/plugin.hpp>

namespace {

using namespace graft::plugin;

struct ScaleShift {
  static constexpr const char* name = "scale_shift";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR | GRAFT_SITE_NORM;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {
      "shift": {"type": "boolean", "default": true, "description": "Train the offsets too"}
    }})";

  struct State {
    Param scale, shift;
  };

  explicit ScaleShift(Config c) : shifts(c.flag("/shift")) {}

  State attach(const Site& site) const {
    State s;
    s.scale = site.param("ssf_scale", {site.out_features()}, Init::ones());
    if (shifts) s.shift = site.param("ssf_shift", {site.out_features()}, Init::zeros());
    return s;
  }

  void forward(const State& s, const Hook& h) const {
    const Value y = h.next();
    Value change = y * (h(s.scale) - 1);
    if (shifts) change = change + h(s.shift);
    h.out(y + change * h.strength());
  }

  bool shifts;
};

}  // namespace

GRAFT_METHOD_PLUGIN(ScaleShift, "org.example.scale_shift", "1.0.0", "Example", "Apache-2.0")
