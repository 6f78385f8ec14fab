// graft/plugin_eva.hpp: EVA. A begins as the principal components of what goes into its layer, and the ranks go to the
// layers where they explain most of it.
//
// Source: Paischer et al. 2024, "One Initialization to Rule them All: Fine-tuning via Explained Variance
// Adaptation" (arXiv:2410.07170), algorithm 1.
#ifndef GRAFT_PLUGIN_EVA_HPP
#define GRAFT_PLUGIN_EVA_HPP
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "plugin.hpp"

#define GRAFT_EVA_OPTION                                                                              \
  R"("eva_config": {"type": "object", "additionalProperties": false, "description": "Of init eva", )" \
  R"("properties": {"rho": {"type": "number", "minimum": 1, "default": 2, )"                          \
  R"("description": "A layer's rank becomes rho times its own at most; 1: none moves"}, )"            \
  R"("tau": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.99, )"                        \
  R"("description": "A component has settled when a batch turns it to this cosine at least"}, )"      \
  R"("use_label_mask": {"type": "boolean", "default": true, )"                                        \
  R"("description": "Only supervised tokens count"}, )"                                               \
  R"("label_mask_value": {"type": "integer", "enum": [-100], "default": -100, )"                      \
  R"("description": "What the label of the others is"}, )"                                            \
  R"("whiten": {"type": "boolean", "default": false, )"                                               \
  R"("description": "Divide components by the roots of their singular values"}, )"                    \
  R"("adjust_scaling_factors": {"type": "boolean", "default": true, )"                                \
  R"("description": "alpha grows and falls with the rank"}}})"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

class Eva {
 public:
  struct Found {
    std::int64_t rank = 0;
    std::vector<float> a;  // [rank, in]
  };

  explicit Eva(const Config& c) {
    if (c.count("/eva_config") == 0) return;
    rho_ = c.f64("/eva_config/rho");
    tau_ = c.f64("/eva_config/tau");
    masked_ = c.flag("/eva_config/use_label_mask");
    whiten_ = c.flag("/eva_config/whiten");
    adjust_ = c.flag("/eva_config/adjust_scaling_factors");
  }

  bool any() const { return !found_.empty(); }
  /// Of a site; nullptr where nothing was seen of it.
  const Found* at(const std::string& site) const {
    const auto it = found_.find(site);
    return it == found_.end() ? nullptr : &it->second;
  }
  /// What alpha of a site with so many ranks is multiplied by.
  double growth(const std::string& site, std::int64_t rank) const {
    const Found* f = at(site);
    if (!f || !adjust_ || f->rank == rank) return 1;
    return static_cast<double>(f->rank) / static_cast<double>(rank);
  }

  void observe(graft_input_pass& pass, const std::vector<Site>& sites) {
    if (pass.batches == 0) {
      pass.settled = tau_;
      pass.supervised = masked_ ? 1 : 0;
      for (std::size_t i = 0; i < sites.size(); ++i) ask(pass.of[i], sites[i]);
      return;
    }
    // Equal inputs explain as much at each of their sites: those of the first come first.
    std::vector<std::size_t> order, followers;
    for (std::size_t i = 0; i < sites.size(); ++i) {
      if (pass.of[i].most > 0) (pass.of[i].same_as == i ? order : followers).push_back(i);
    }
    std::stable_sort(followers.begin(), followers.end(), [&](std::size_t x, std::size_t y) {
      return pass.of[x].same_as < pass.of[y].same_as;
    });
    order.insert(order.end(), followers.begin(), followers.end());
    std::vector<std::pair<float, std::size_t>> shares;
    for (const std::size_t i : order) {
      for (std::uint32_t k = 0; k < pass.of[i].n; ++k)
        shares.push_back({pass.of[i].explained[k], i});
    }
    std::stable_sort(shares.begin(), shares.end(),
                     [](const auto& x, const auto& y) { return x.first > y.first; });
    shares.resize(std::min(shares.size(), budget_));
    for (const std::size_t i : order) pass.of[i].wanted = 0;
    for (const auto& [share, i] : shares) ++pass.of[i].wanted;
    for (const std::size_t i : followers) {
      auto &mine = pass.of[i].wanted, &first = pass.of[pass.of[i].same_as].wanted;
      if (first < mine) std::swap(first, mine);
    }
    for (const std::size_t i : order) found_[sites[i].name()] = begin(pass.of[i], sites[i]);
  }

 private:
  void ask(graft_inputs& in, const Site& site) {
    if (site.kind() != GRAFT_SITE_LINEAR || site.config().count("/trainable_tokens") > 0) return;
    const std::int64_t rank = site.config().i64("/rank");
    const double most = std::nearbyint(rho_ * static_cast<double>(rank));
    in.most = static_cast<std::uint32_t>(std::min(most, static_cast<double>(site.in_features())));
    in.wanted = in.most;
    budget_ += static_cast<std::size_t>(rank);
  }

  Found begin(const graft_inputs& in, const Site& site) const {
    const auto width = static_cast<std::size_t>(site.in_features());
    Found f{in.wanted, {in.components, in.components + in.wanted * width}};
    for (std::size_t i = 0; whiten_ && i < f.a.size(); ++i) {
      f.a[i] /= std::sqrt(in.singular_values[i / width]);
    }
    return f;
  }

  double rho_ = 2, tau_ = 0.99;  // PEFT's defaults, as in the schema
  bool masked_ = true, whiten_ = false, adjust_ = true;
  std::size_t budget_ = 0;
  std::map<std::string, Found> found_;
};

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
