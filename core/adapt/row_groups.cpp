#include "core/adapt/row_groups.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "core/adapt/attach_state.hpp"
#include "core/base/error.hpp"

namespace graft::core {
namespace {

using Values = std::vector<ValueId>;

/// The parts of values by group, each value split once.
class Splitter {
 public:
  explicit Splitter(std::size_t groups) {
    for (std::size_t g = 0; g < groups; ++g) rows_.push_back(group_rows(g));
  }
  const Values& parts(Recorder& r, ValueId whole) {
    const auto found = parts_.find(whole);
    if (found != parts_.end()) return found->second;
    return parts_[whole] = r.split_rows(whole, rows_);
  }
  Values part(Recorder& r, const Values& wholes, std::size_t group) {
    Values result;
    for (const ValueId whole : wholes) result.push_back(parts(r, whole).at(group));
    return result;
  }

 private:
  Shape rows_;
  std::map<ValueId, Values> parts_;
};

Values run_site(Recorder& r, const SiteCall& call, const std::vector<AdapterRecording*>& sets,
                Splitter& splitter) {
  std::optional<Values> base;  // what the model's own op makes of all rows
  std::vector<Values> made(sets.size());
  for (std::size_t g = 0; g < sets.size(); ++g) {
    const Values in = splitter.part(r, call.in, g);
    const auto inner = [&](const Values& given) {
      if (given != in) return call.inner(given);
      if (!base) base = call.inner(call.in);
      return splitter.part(r, *base, g);
    };
    made[g] = sets[g]->runner()(r, {call.site, in, call.weight, call.bias, inner});
  }
  Values joined;
  for (std::size_t k = 0; k < made[0].size(); ++k) {
    Values parts;
    for (const Values& of_group : made) parts.push_back(of_group.at(k));
    joined.push_back(r.join_rows(parts, Symbol::kRows));
  }
  return joined;
}

[[noreturn]] void refuse(const std::string& who, const std::string& why) {
  throw Error(GRAFT_E_CONFIG, cat(who, " ", why, ". Train it in a RUN.json of its own."));
}

}  // namespace

void require_row_groups(const AdapterSet& set, const std::string& who) {
  const AdapterSet::State& s = set.state();
  for (const auto& [key, parameter] : s.base_tensors) {
    refuse(cat(who, s.who(key.first)),
           cat("trains '", key.second, "' of the base model, which all runs share"));
  }
  for (const Attachment& a : s.attachments) {
    const SiteInfo& site = s.sites[a.site->site];
    const std::string method = cat(who, s.who(a.entry));
    if (a.site->virtual_rows > 0) {
      refuse(method,
             "puts rows of its own before each sequence, which runs that share a pass "
             "cannot do");
    }
    // The last of the sites is the head.
    if (a.site->site + 1 == s.sites.size()) {
      refuse(method, cat("changes '", site.name, "', the head, which all runs share"));
    }
  }
}

SiteRunner run_by_group(std::vector<AdapterRecording*> sets) {
  auto splitter = std::make_shared<Splitter>(sets.size());
  return
      [sets = std::move(sets), splitter = std::move(splitter)](Recorder& r, const SiteCall& call) {
        const bool any = std::any_of(sets.begin(), sets.end(), [&](const AdapterRecording* set) {
          return set->at_site(call.site.name);
        });
        return any ? run_site(r, call, sets, *splitter) : call.inner(call.in);
      };
}

}  // namespace graft::core
