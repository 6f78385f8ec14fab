// A pass over the data of a run, for methods whose parameters begin from what goes into their sites.
#pragma once
#include <graft/plugin.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace graft::core {

/// Principal components of rows, by falling variance.
struct Components {
  std::int64_t n = 0, features = 0;
  std::vector<float> vectors;              ///< [n, features], their largest elements positive
  std::vector<float> singular, explained;  ///< [n]; see graft_inputs
};

/// What a method wants to know of a site, and what there is of it.
struct ObservedSite {
  std::string name;
  std::int64_t features = 0;
  std::size_t most = 0, wanted = 0;        ///< components: at most, and those it would use now
  std::size_t same_as = 0;                 ///< the first of the sites with the same inputs
  const Components* components = nullptr;  ///< of all batches until now
};

struct Observation {
  std::vector<ObservedSite> sites;
  double settled = 0;       ///< cosine of a component and what it was a batch before
  bool supervised = false;  ///< rows of supervised tokens alone
};

/// Batches of a run's data go through the base model. `next` is called after each one, fills in what
/// is wanted then, and the pass ends when so many components of each site have settled.
using InputPass =
    std::function<void(Observation&, const std::function<void(std::int64_t batches)>& next)>;

}  // namespace graft::core
