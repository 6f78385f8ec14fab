// Tied-LoRA: one pair A, B for all layers with modules of one name; each module has two vectors.
//
//   y = W x + b + (alpha / r) v * (B (u * (A dropout(x))))      A [r, in], B [out, r], u [r], v [out]
//
// u begins at 1. B begins at 0 and v at 1, or, where B is not trained, v at 0.
//
// Source: Renduchintala, Konuk and Kuchaiev 2023, "Tied-LoRA: Enhancing parameter efficiency of LoRA
// with Weight Tying" (arXiv:2311.09578), eq. (2); what is trained tells its variants apart.
#include <graft/plugin_lowrank.hpp>

namespace {
using namespace graft::plugin;

struct TiedLora {
  static constexpr const char* name = "tied_lora";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR;
  static constexpr const char* schema =
      R"({)" GRAFT_LORA_TARGETS
      R"(, "type": "object", "additionalProperties": false, "properties": {
      "rank": {"type": "integer", "minimum": 1, "default": 8,
        "description": "Rows of the shared A, columns of the shared B"},
      "alpha": {"type": "number", "default": 16, "description": "The update is scaled by alpha / rank"},
      )" GRAFT_DROPOUT_OPTION R"(,
      "trained": {"type": "array", "minItems": 1, "default": ["A", "B", "u", "v"],
        "items": {"type": "string", "enum": ["A", "B", "u", "v"]},
        "description": "The others stay as they begin"}
    }})";

  struct State {
    Param a, b, u, v;
  };

  explicit TiedLora(Config c)
      : rank(c.i64("/rank")),
        scale(lora_scale(c.f64("/alpha"), rank, false)),
        dropout(c.f64("/dropout")) {
    for (const std::string& part : c.strings("/trained")) trained += part;
    if (!trains('B') && !trains('v')) {
      refuse(
          "trained names neither \"B\" nor \"v\", one of which begins at 0, so nothing would be ",
          "learnt. Add one of them.");
    }
  }

  bool trains(char part) const { return trained.find(part) != std::string::npos; }

  State attach(const Site& t) const {
    const std::string site = t.name(), kind = site.substr(site.rfind('.') + 1);
    const auto flags = [&](char part) {
      return trains(part) ? 0 : std::uint32_t{GRAFT_PARAM_FROZEN};
    };
    const auto shared = [&](const char* of, std::initializer_list<std::int64_t> dims, Init init) {
      const std::uint32_t as = flags(of[0]) | GRAFT_PARAM_SHARED;
      return t.param(("tied_" + std::string(of) + "." + kind).c_str(), dims, init, as);
    };
    const Init b = trains('B') ? Init::zeros() : Init::kaiming_uniform();
    return {shared("A", {rank, t.in_features()}, Init::kaiming_uniform()),
            shared("B", {t.out_features(), rank}, b),
            t.param("tied_u", {rank}, Init::ones(), flags('u')),
            t.param("tied_v", {t.out_features()}, trains('B') ? Init::ones() : Init::zeros(),
                    flags('v'))};
  }

  void forward(const State& s, const Hook& h) const {
    const Value v = h(s.v) * (h.strength() * scale);
    h.out(h.next() + vector_update(h.in().dropout(dropout), h(s.a), h(s.u), h(s.b), v));
  }

  Merged merge(const State& s, const Hook& h) const {
    return h.plus(vector_matrix(h(s.a), h(s.u), h(s.b), h(s.v)) * (h.strength() * scale));
  }

  std::int64_t rank;
  double scale, dropout;
  std::string trained;
};

}  // namespace

GRAFT_METHOD_PLUGIN(TiedLora, "org.graft.tied_lora", "0.1.0", "graft", "Apache-2.0")
