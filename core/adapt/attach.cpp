#include "core/adapt/attach.hpp"

#include <algorithm>
#include <set>

#include "core/adapt/attach_state.hpp"
#include "core/adapt/site_options.hpp"
#include "core/adapt/site_table.hpp"
#include "core/adapt/targets.hpp"
#include "core/base/error.hpp"
#include "core/base/nearest.hpp"
#include "core/plugin/call.hpp"

namespace graft::core {
namespace {

std::vector<std::string> names_of(const std::vector<SiteInfo>& sites,
                                  const std::vector<std::size_t>& chosen) {
  std::vector<std::string> names;
  for (const std::size_t i : chosen) names.push_back(sites[i].name);
  return names;
}

/// Ends of the names of modules that have weights, which is what people write.
std::vector<std::string> module_ends(const std::vector<BaseTensor>& tensors) {
  std::set<std::string> ends;
  for (const BaseTensor& tensor : tensors) {
    const std::string owner = tensor.name.substr(0, tensor.name.rfind('.'));
    ends.insert(owner.substr(owner.rfind('.') + 1));
  }
  return {ends.begin(), ends.end()};
}

// Where tokens of the vocabulary are trained: the embedding, and a head that is tied to it.
void add_token_sites(const AdapterSet::State& s, std::size_t e, std::vector<std::size_t>& chosen) {
  if (!trains_tokens(s.entries[e])) return;
  for (std::size_t i = 0; i < s.sites.size(); ++i) {
    const BaseTensor* weight = s.tensor(s.sites[i].name + ".weight");
    const bool tied = weight && !weight->tied_to.empty();
    if (s.sites[i].kind != GRAFT_SITE_EMBEDDING && !tied) continue;
    if (std::find(chosen.begin(), chosen.end(), i) != chosen.end()) {
      throw Error(GRAFT_E_INVALID, cat(s.who(e), ": trainable tokens change '", s.sites[i].name,
                                       "', and targets match it too. Leave it out of targets."));
    }
    chosen.push_back(i);
  }
  std::sort(chosen.begin(), chosen.end());
}

// PEFT's "bias": "all" trains every bias of the model, "lora_only" and its like those of attached modules.
// Its names of the latter have an infix.
void train_biases(AdapterSet::State& s, std::size_t e) {
  const std::string choice = bias_choice(s.entries[e]);
  if (choice == "none") return;
  std::set<std::string> mine;
  for (const Attachment& a : s.attachments) {
    if (a.entry == e) mine.insert(s.sites[a.site->site].name);
  }
  bool any = false;
  for (const BaseTensor& tensor : s.tensors) {
    if (!tensor.name.ends_with(".bias")) continue;
    const std::string owner = tensor.name.substr(0, tensor.name.rfind('.'));
    const bool attached = mine.count(owner) > 0;
    if (!attached && choice != "all") continue;
    any = true;
    if (s.base_tensors.count({e, tensor.name}) > 0) continue;
    Parameter p;
    p.name = tensor.name;
    p.dims = tensor.shape;
    if (attached) p.key = cat("base_model.model.", owner, ".base_layer.bias");
    p.entry = e;
    p.base = tensor.name;
    p.init = GRAFT_INIT_BASE;
    s.replace(std::move(p));
  }
  // A file of PEFT's may say so of a model without biases.
  if (!any && !s.entries[e].loaded) {
    throw Error(GRAFT_E_INVALID,
                cat(s.who(e), ": bias is \"", choice, "\", but ",
                    choice == "all" ? "the model has no biases" : "no targeted module has a bias",
                    ". Leave it out."));
  }
}

}  // namespace

graft_tensor* AdapterSet::State::add_parameter(Parameter p) {
  p.handle = std::make_unique<graft_tensor>();
  p.handle->parameter = static_cast<std::int32_t>(parameters.size());
  graft_tensor* handle = p.handle.get();
  parameters.push_back(std::move(p));
  return handle;
}

void AdapterSet::State::attach(std::size_t e) {
  const MethodEntry& entry = entries[e];
  const std::string plugin = cat("method ", entry.api.name);
  check_module_rules(entry, who(e));
  call_plugin(plugin, [&](graft_error* error) {
    return entry.api.create(host.get(), configs[e].get(), &methods[e], error);
  });
  std::vector<graft_site*> matched;
  std::vector<std::deque<CSite>::iterator> mine;
  std::vector<std::size_t> chosen =
      match_sites(sites, entry.api.site_kinds, entry.host, who(e),
                  entry.loaded ? Unmatched::kIgnore : Unmatched::kRefuse);
  const std::set<std::size_t> targeted(chosen.begin(), chosen.end());
  if (!entry.loaded) check_patterns(entry, names_of(sites, chosen), who(e));
  add_token_sites(*this, e, chosen);
  for (const std::size_t s : chosen) {
    CSite& site = c_sites.emplace_back();
    site.base.api = &site_table();
    site.set = this;
    site.entry = e;
    site.site = s;
    site.config = std::make_unique<HostConfig>(
        options_at(entry, sites[s].name, who(e), targeted.count(s) > 0));
    matched.push_back(&site.base);
    mine.push_back(std::prev(c_sites.end()));
  }
  if (entry.api.plan) {
    call_plugin(plugin, [&](graft_error* error) {
      return entry.api.plan(methods[e], matched.data(), static_cast<std::uint32_t>(matched.size()),
                            error);
    });
  }
  observe(e, matched);
  bool any = false;
  for (std::size_t i = 0; i < matched.size(); ++i) {
    void* plugin_state = nullptr;
    const graft_status status = call_plugin(plugin, [&](graft_error* error) {
      return entry.api.attach(methods[e], matched[i], &plugin_state, error);
    });
    if (status == GRAFT_SKIP) continue;
    if (status != GRAFT_OK) {
      throw Error(GRAFT_E_INVALID,
                  cat(who(e), " does not support '", sites[mine[i]->site].name, "'."));
    }
    any = true;
    at_site[mine[i]->site].push_back(attachments.size());
    attachments.push_back({e, mine[i], plugin_state});
  }
  if (!any) {
    throw Error(GRAFT_E_INVALID, cat(who(e), " declined every module that its targets match."));
  }
}

VirtualTokens AdapterSet::State::count_virtual_tokens(const std::vector<bool>& active) const {
  VirtualTokens count;
  std::map<std::size_t, std::int64_t> at_layers;  // by site
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (sites[i].kind == GRAFT_SITE_ATTN_KV) at_layers[i] = 0;
  }
  for (const Attachment& a : attachments) {
    const std::int64_t n = a.site->virtual_rows;
    if (n == 0 || !active.at(a.entry)) continue;
    if (sites[a.site->site].kind == GRAFT_SITE_EMBEDDING) count.prompt += n;
    if (sites[a.site->site].kind == GRAFT_SITE_ATTN_KV) at_layers[a.site->site] += n;
  }
  for (const auto& [site, n] : at_layers) {
    if (site == at_layers.begin()->first) count.prefix = n;
    if (n == count.prefix) continue;
    throw Error(GRAFT_E_INVALID,
                cat("methods: '", sites[site].name, "' has ", n, " virtual tokens and '",
                    sites[at_layers.begin()->first].name, "' has ", count.prefix,
                    "; all layers need as many. Leave \"layers\" out."));
  }
  return count;
}

const BaseTensor* AdapterSet::State::tensor(const std::string& name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const BaseTensor& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

// A head that is tied to the embedding stays so if the entry replaces both.
graft_tensor* AdapterSet::State::replace(Parameter p) {
  const std::size_t e = p.entry;
  const std::string name = p.base;
  auto known = base_tensors.find({e, name});
  if (known == base_tensors.end()) known = base_tensors.find({e, tensor(name)->tied_to});
  if (known != base_tensors.end()) {
    base_tensors[{e, name}] = known->second;
    return parameters[known->second].handle.get();
  }
  base_tensors[{e, name}] = parameters.size();
  return add_parameter(std::move(p));
}

// PEFT trains a copy of the whole module and saves it under the module's own name.
void AdapterSet::State::save_modules(std::size_t e) {
  const auto found = entries[e].host.find("modules_to_save");
  if (found == entries[e].host.end() || found->is_null()) return;
  for (const Json& module : *found) {
    bool any = false;
    for (const BaseTensor& tensor : tensors) {
      const std::string owner = tensor.name.substr(0, tensor.name.rfind('.'));
      if (!is_saved_module(owner, module.get<std::string>())) continue;
      any = true;
      if (base_tensors.count({e, tensor.name}) > 0) continue;
      Parameter p;
      p.name = tensor.name;
      p.dims = tensor.shape;
      p.transposed = tensor.transposed;
      p.entry = e;
      p.base = tensor.name;
      p.init = GRAFT_INIT_BASE;
      add_parameter(std::move(p));
      base_tensors[{e, tensor.name}] = parameters.size() - 1;
    }
    if (!any) {
      throw Error(GRAFT_E_INVALID,
                  cat(who(e), ": modules_to_save names '", module.get<std::string>(),
                      "', but the model has no module with weights of that name. ",
                      hint(module.get<std::string>(), module_ends(tensors), "Their names")));
    }
  }
}

void AdapterSet::State::release() {
  for (Attachment& a : attachments) {
    if (entries[a.entry].api.detach) entries[a.entry].api.detach(methods[a.entry], a.state);
  }
  attachments.clear();
  for (std::size_t e = 0; e < methods.size(); ++e) {
    if (methods[e]) entries[e].api.destroy(methods[e]);
    methods[e] = nullptr;
  }
}

AdapterSet::AdapterSet(std::vector<SiteInfo> sites, std::vector<MethodEntry> entries,
                       const std::vector<BaseTensor>& tensors, const Log& log, InputPass pass)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.sites = std::move(sites);
  s.entries = std::move(entries);
  s.tensors = tensors;
  s.host = std::make_unique<HostTable>(log);
  s.input_pass = std::move(pass);
  s.at_site.resize(s.sites.size());
  s.methods.assign(s.entries.size(), nullptr);
  for (const MethodEntry& entry : s.entries) {
    s.configs.push_back(std::make_unique<HostConfig>(entry.seen()));
    s.storages.push_back(storage_of(entry.api));
  }
  try {
    for (std::size_t e = 0; e < s.entries.size(); ++e) {
      s.attach(e);
      s.save_modules(e);
      train_biases(s, e);
    }
    s.input_pass = {};
    s.virtual_tokens = s.count_virtual_tokens(std::vector<bool>(s.entries.size(), true));
  } catch (...) {
    s.release();
    throw;
  }
}

AdapterSet::~AdapterSet() {
  state_->release();
}

const std::vector<Parameter>& AdapterSet::parameters() const {
  return state_->parameters;
}
const std::vector<MethodEntry>& AdapterSet::entries() const {
  return state_->entries;
}
const std::vector<SiteInfo>& AdapterSet::sites() const {
  return state_->sites;
}

VirtualTokens AdapterSet::virtual_tokens() const {
  return state_->virtual_tokens;
}
VirtualTokens AdapterSet::virtual_tokens(const std::vector<bool>& active) const {
  return state_->count_virtual_tokens(active);
}

std::vector<std::size_t> AdapterSet::attached(std::size_t entry) const {
  std::vector<std::size_t> result;
  for (const Attachment& a : state_->attachments) {
    if (a.entry == entry) result.push_back(a.site->site);
  }
  return result;
}

}  // namespace graft::core
