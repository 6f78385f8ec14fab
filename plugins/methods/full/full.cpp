// Full fine-tuning: every tensor of the targeted modules is trained, which are all of them unless
// targets say otherwise. The comparison that every paper makes.
#include <graft/plugin.hpp>

namespace {
using namespace graft::plugin;

struct Full {
  static constexpr const char* name = "full";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR | GRAFT_SITE_EMBEDDING | GRAFT_SITE_NORM;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {}, "x-graft-targets": ".*"})";

  struct State {};

  explicit Full(Config) {}

  State attach(const Site& t) const {
    const std::int64_t in = t.in_features(), out = t.out_features();
    const Init copy = Init::base("weight");
    if (t.kind() == GRAFT_SITE_NORM) {
      t.param("weight", {in}, copy, GRAFT_PARAM_REPLACES);
    } else if (t.kind() == GRAFT_SITE_EMBEDDING) {
      t.param("weight", {in, out}, copy, GRAFT_PARAM_REPLACES);
    } else {
      t.param("weight", {out, in}, copy, GRAFT_PARAM_REPLACES);
    }
    if (t.has_bias()) t.param("bias", {out}, Init::base("bias"), GRAFT_PARAM_REPLACES);
    return {};
  }
};

}  // namespace

GRAFT_METHOD_PLUGIN(Full, "org.graft.full", "0.1.0", "graft", "Apache-2.0")
