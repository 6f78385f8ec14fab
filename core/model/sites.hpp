// Named places of a model where methods attach, and how a recording runs them.
#pragma once
#include <graft/plugin.h>

#include <functional>
#include <string>
#include <vector>

#include "core/graph/recorder.hpp"

namespace graft::core {

/// A site as graft_site_info describes it.
struct SiteInfo {
  std::string name;
  std::int32_t kind = 0;  ///< GRAFT_SITE_*
  std::int64_t in_features = 0, out_features = 0, heads = 0, head_dim = 0;
  std::int32_t layer = -1;
  bool has_bias = false;
  bool positions = false;  ///< a table of positions: no tokens can be put before those of it
  double scale = 1;        ///< what comes out is multiplied by that
};

/// One run of a site within a recording. `inner` is the model's own op.
struct SiteCall {
  const SiteInfo& site;
  std::vector<ValueId> in;
  ValueId weight = kNone, bias = kNone;
  std::function<std::vector<ValueId>(const std::vector<ValueId>& in)> inner;
};

/// Runs a site with whatever is attached to it; without attachments it returns call.inner(call.in).
using SiteRunner = std::function<std::vector<ValueId>(Recorder&, const SiteCall&)>;

/// The value of a base tensor by its Hugging Face name: a frozen weight, or the trained tensor that
/// stands in for it.
using WeightLookup = std::function<ValueId(Recorder&, const std::string& name)>;

}  // namespace graft::core
