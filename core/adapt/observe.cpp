// observe() of a method, batch by batch.
#include "core/adapt/observe.hpp"

#include <limits>

#include "core/adapt/attach_state.hpp"
#include "core/base/error.hpp"
#include "core/plugin/call.hpp"

namespace graft::core {
namespace {

/// Throws where the plugin asks for what there cannot be.
void check_asked(const graft_inputs& in, const SiteInfo& site, const std::string& who) {
  const bool able =
      site.kind == GRAFT_SITE_LINEAR && static_cast<std::int64_t>(in.most) <= site.in_features;
  if (able && in.wanted <= in.most) return;
  throw Error(GRAFT_E_INVALID,
              cat(who, " at '", site.name, "': ", in.most, " components (", in.wanted,
                  " wanted) of its inputs were asked for; linear layers alone have ",
                  "them, as many as input features (here ", site.in_features, ")."));
}

}  // namespace

void AdapterSet::State::observe(std::size_t e, const std::vector<graft_site*>& matched) {
  const MethodEntry& entry = entries[e];
  if (!entry.api.observe || entry.loaded) return;
  std::vector<graft_inputs> of(matched.size());
  for (std::size_t i = 0; i < of.size(); ++i) of[i].same_as = static_cast<std::uint32_t>(i);
  graft_input_pass pass{};
  pass.struct_size = sizeof pass;
  pass.n = static_cast<std::uint32_t>(matched.size());
  pass.sites = matched.data();
  pass.of = of.data();
  const auto ask = [&] {
    call_plugin(who(e),
                [&](graft_error* error) { return entry.api.observe(methods[e], &pass, error); });
  };
  ask();
  Observation seen;
  std::vector<std::size_t> index;  // of the observed sites among those that matched
  for (std::size_t i = 0; i < of.size(); ++i) {
    if (of[i].most == 0) continue;
    const SiteInfo& site = sites[reinterpret_cast<const CSite*>(matched[i])->site];
    check_asked(of[i], site, who(e));
    seen.sites.push_back(
        {site.name, site.in_features, of[i].most, of[i].wanted, index.size(), nullptr});
    index.push_back(i);
  }
  if (index.empty()) return;
  if (!input_pass) {
    throw Error(GRAFT_E_INVALID,
                cat(who(e), " begins from the data of a training run; here is none. ",
                    "Choose another initialisation."));
  }
  seen.settled = pass.settled;
  seen.supervised = pass.supervised != 0;
  input_pass(seen, [&](std::int64_t batches) {
    pass.batches = batches;
    for (std::size_t k = 0; k < index.size(); ++k) {
      const ObservedSite& site = seen.sites[k];
      graft_inputs& in = of[index[k]];
      const Components& c = *site.components;
      in = {in.most,
            in.wanted,
            static_cast<std::uint32_t>(c.n),
            static_cast<std::uint32_t>(index[site.same_as]),
            c.vectors.data(),
            c.singular.data(),
            c.explained.data()};
    }
    ask();
    for (std::size_t k = 0; k < index.size(); ++k) {
      check_asked(of[index[k]], sites[reinterpret_cast<const CSite*>(matched[index[k]])->site],
                  who(e));
      seen.sites[k].wanted = of[index[k]].wanted;
    }
  });
}

}  // namespace graft::core
