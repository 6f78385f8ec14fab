#include "core/adapt/attach.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "core/adapt/attach_state.hpp"
#include "core/adapt/library_files.hpp"
#include "core/adapt/site_options.hpp"
#include "core/adapt/targets.hpp"
#include "core/base/error.hpp"
#include "core/base/nearest.hpp"
#include "core/plugin/call.hpp"
#include "core/tensor/host_tensor.hpp"

namespace graft::core {
namespace {

graft_status put(graft_error* error, graft_status status, const std::string& message) {
  if (!error) return status;
  error->code = status;
  const std::size_t n = std::min(message.size(), sizeof error->message - 1);
  std::memcpy(error->message, message.data(), n);
  error->message[n] = 0;
  return status;
}

CSite& of(const graft_site* site) {
  return *const_cast<CSite*>(reinterpret_cast<const CSite*>(site));
}

graft_status site_info(const graft_site* site, graft_site_info* out, graft_error* error) {
  if (!out || out->struct_size < sizeof(std::uint32_t)) {
    return put(error, GRAFT_E_INVALID, "site info: struct_size is not set.");
  }
  const CSite& c = of(site);
  const SiteInfo& s = c.set->sites[c.site];
  graft_site_info mine{};
  mine.struct_size = out->struct_size;
  mine.kind = s.kind;
  mine.name = s.name.c_str();
  mine.in_features = s.in_features;
  mine.out_features = s.out_features;
  mine.n_heads = s.heads;
  mine.head_dim = s.head_dim;
  mine.layer = s.layer;
  mine.has_bias = s.has_bias ? 1 : 0;
  std::memcpy(out, &mine, std::min<std::size_t>(out->struct_size, sizeof mine));
  return GRAFT_OK;
}

const graft_config* site_config(const graft_site* site) {
  return of(site).config.get();
}

/// A parameter that begins as something of a base tensor must have its shape, or one number for each
/// of its rows or columns.
void check_base(const AdapterSet::State& set, const Parameter& p, const std::string& where) {
  constexpr std::string_view lost = ".lost";  // what quantizing took from the tensor
  const bool whole = !p.base.ends_with(lost);
  const BaseTensor* base =
      set.tensor(whole ? p.base : p.base.substr(0, p.base.size() - lost.size()));
  if (!base) throw Error(GRAFT_E_INVALID, cat(where, ": the model has no tensor '", p.base, "'."));
  const auto& shape = base->shape;
  bool fits = p.dims == shape;
  if (p.init != GRAFT_INIT_BASE) {
    const bool matrices = shape.size() == 2 && p.dims.size() == 2;
    switch (p.init) {
      case GRAFT_INIT_ROW_NORM:
        fits = shape.size() == 2 && p.count() == shape[0];
        break;
      case GRAFT_INIT_COLUMN_NORM:
        fits = shape.size() == 2 && p.count() == shape[1];
        break;
      case GRAFT_INIT_SVD_LEFT:
      case GRAFT_INIT_QR_LEFT:
        fits = matrices && p.dims[0] == shape[0];
        break;
      default:  // right factors, rows
        fits = matrices && p.dims[1] == shape[1];
    }
    for (const std::int32_t row : p.init_rows) fits = fits && row >= 0 && row < shape[0];
  }
  if (!fits) {
    throw Error(GRAFT_E_INVALID, cat(where, ": parameter '", p.name, "' has another shape than '",
                                     p.base, "', from which it begins."));
  }
}

graft_tensor* site_param(graft_site* site, const graft_param_desc* desc, graft_error* error) {
  try {
    CSite& c = of(site);
    graft_param_desc d{};
    if (desc) std::memcpy(&d, desc, std::min<std::size_t>(desc->struct_size, sizeof d));
    const std::string where = cat(c.set->who(c.entry), " at '", c.set->sites[c.site].name, "'");
    if (!d.name || !*d.name || d.n_dims < 1 || d.n_dims > 4) {
      throw Error(GRAFT_E_INVALID, cat(where, ": a parameter needs a name and 1 to 4 axes."));
    }
    Parameter p;
    const bool shared = (d.flags & GRAFT_PARAM_SHARED) != 0;
    p.name = shared ? std::string(d.name) : c.set->sites[c.site].name + "." + d.name;
    if (shared) p.key = cat("base_model.", d.name);
    if (const auto& storage = c.set->storages[c.entry]) {
      p.key = storage->of_peft() ? storage->tensors.value(d.name, p.key)
                                 : library_key(storage->layout, p.name);
    }
    std::int64_t n = 1;
    for (std::uint32_t i = 0; i < d.n_dims; ++i) {
      if (d.dims[i] < 1 || d.dims[i] > (std::int64_t{1} << 40) / n) {
        throw Error(
            GRAFT_E_INVALID,
            cat(where, ": parameter '", d.name, "' would be ",
                shape_text({d.dims, d.dims + d.n_dims}), ", but each extent must be at least ",
                "1 and the product at most 2^40. Mind the rank and the other sizes."));
      }
      n *= d.dims[i];
      p.dims.push_back(d.dims[i]);
    }
    p.init = d.init;
    p.init_scale = d.init_scale;
    p.init_seed = d.init_seed;
    p.init_skip = d.init_skip;
    if (d.init_rows) p.init_rows.assign(d.init_rows, d.init_rows + d.dims[0]);
    if (d.init_values) p.init_values.assign(d.init_values, d.init_values + n);
    if (d.init == GRAFT_INIT_VALUES && !d.init_values) {
      throw Error(GRAFT_E_INVALID, cat(where, ": parameter '", d.name, "' has no init_values."));
    }
    if (d.lr_scale != 0) p.lr_scale = d.lr_scale;
    p.flags = d.flags;
    p.entry = c.entry;
    if (d.init_from) {
      p.base = c.set->sites[c.site].name + "." + d.init_from;
      if (d.init == GRAFT_INIT_ADAPTER) {
        p.init_path = d.init_path ? d.init_path : "";
      } else {
        check_base(*c.set, p, where);
      }
    }
    if ((d.flags & GRAFT_PARAM_REPLACES) != 0) {
      if (!d.init_from || !c.set->tensor(p.base))
        throw Error(GRAFT_E_INVALID, cat(where, ": '", d.name, "' replaces nothing."));
      p.transposed = c.set->tensor(p.base)->transposed;
      return c.set->replace(std::move(p));
    }
    for (const Parameter& known : c.set->parameters) {
      if (known.entry != c.entry || known.name != p.name) continue;
      if (shared && known.dims == p.dims) return known.handle.get();
      throw Error(GRAFT_E_INVALID, cat(where, ": parameter '", d.name, "' was declared twice."));
    }
    return c.set->add_parameter(std::move(p));
  } catch (const Error& e) {
    put(error, e.status(), e.what());
  } catch (const std::exception& e) {
    put(error, GRAFT_E_INTERNAL, e.what());
  }
  return nullptr;
}

graft_status site_virtual_tokens(graft_site* site, std::int64_t n, graft_error* error) {
  CSite& c = of(site);
  const std::int32_t kind = c.set->sites[c.site].kind;
  if (n < 1 || (kind != GRAFT_SITE_EMBEDDING && kind != GRAFT_SITE_ATTN_KV)) {
    return put(error, GRAFT_E_INVALID,
               cat("virtual tokens: ", n, " at '", c.set->sites[c.site].name,
                   "'; at least one is expected, at embeddings or keys and values."));
  }
  // Nothing stands before a sequence in a table of positions: "not here".
  if (c.set->sites[c.site].positions) return GRAFT_SKIP;
  c.virtual_rows = n;
  return GRAFT_OK;
}

const graft_site_api& site_table() {
  static const graft_site_api table = [] {
    graft_site_api t{};
    t.struct_size = sizeof t;
    t.info = site_info;
    t.config = site_config;
    t.param = site_param;
    t.virtual_tokens = site_virtual_tokens;
    return t;
  }();
  return table;
}

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
  if (!any) {
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
