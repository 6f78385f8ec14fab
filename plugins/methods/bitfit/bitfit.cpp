// BitFit: the biases are trained, all else is frozen.
//
// Source: Ben Zaken et al. 2021, "BitFit: Simple Parameter-efficient Fine-tuning for
// Transformer-based Masked Language-models" (arXiv:2106.10199), section 3.
#include <algorithm>
#include <graft/plugin.hpp>

namespace {
using namespace graft::plugin;

struct BitFit {
  static constexpr const char* name = "bitfit";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR | GRAFT_SITE_NORM;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {}, "x-graft-targets": ".*"})";

  struct State {};

  explicit BitFit(Config) {}

  void plan(const std::vector<Site>& sites) const {
    if (std::any_of(sites.begin(), sites.end(), [](const Site& t) { return t.has_bias(); })) return;
    refuse("none of the ", sites.size(),
           " targeted modules has a bias, so there is nothing to train. ",
           "Choose a model with biases, or train its norms with ln_tuning.");
  }

  std::optional<State> attach(const Site& t) const {
    if (!t.has_bias()) return std::nullopt;
    t.param("bias", {t.out_features()}, Init::base("bias"), GRAFT_PARAM_REPLACES);
    return State{};
  }
};

}  // namespace

GRAFT_METHOD_PLUGIN(BitFit, "org.graft.bitfit", "0.1.0", "graft", "Apache-2.0")
