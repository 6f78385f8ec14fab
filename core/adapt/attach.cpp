#include "core/adapt/attach.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>

#include "core/adapt/targets.hpp"
#include "core/base/error.hpp"
#include "core/plugin/call.hpp"
#include "core/plugin/host_config.hpp"

namespace graft::core {
namespace {

/// What a plugin sees as a graft_site.
struct CSite {
  graft_site base;  // first: the plugin's pointer is this one
  AdapterSet::State* set = nullptr;
  std::size_t entry = 0, site = 0;
  std::unique_ptr<HostConfig> config;
};

struct Attachment {
  std::size_t entry = 0;
  std::deque<CSite>::iterator site;
  void* state = nullptr;
};

}  // namespace

struct AdapterSet::State {
  std::vector<SiteInfo> sites;
  std::vector<MethodEntry> entries;
  std::vector<Parameter> parameters;
  std::unique_ptr<HostTable> host;
  std::vector<std::unique_ptr<HostConfig>> configs;  // by entry
  std::vector<graft_method*> methods;                // by entry
  std::deque<CSite> c_sites;
  std::vector<Attachment> attachments;
  std::vector<std::vector<std::size_t>> at_site;  // attachments of each site, innermost first
  std::map<std::pair<std::size_t, std::string>, std::size_t>
      base_tensors;  // entry, name: parameter

  std::string who(std::size_t entry) const {
    return cat("methods[", entry, "] (", entries[entry].api.name, ")");
  }
  graft_tensor* add_parameter(Parameter p);
  void attach(std::size_t entry);
  void save_modules(std::size_t entry, const std::vector<BaseTensor>& tensors);
  void release();
};

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
    std::int64_t n = 1;
    for (std::uint32_t i = 0; i < d.n_dims; ++i) {
      if (d.dims[i] < 1 || d.dims[i] > (std::int64_t{1} << 40) / n) {
        throw Error(GRAFT_E_INVALID, cat(where, ": parameter '", d.name, "' has the extent ",
                                         d.dims[i], " on axis ", i, "."));
      }
      n *= d.dims[i];
      p.dims.push_back(d.dims[i]);
    }
    p.init = d.init;
    p.init_scale = d.init_scale;
    p.flags = d.flags;
    p.entry = c.entry;
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

const graft_site_api& site_table() {
  static const graft_site_api table = [] {
    graft_site_api t{};
    t.struct_size = sizeof t;
    t.info = site_info;
    t.config = site_config;
    t.param = site_param;
    return t;
  }();
  return table;
}

/// The entry's options at one site. The plugin's schema says which options are patterns that
/// override others there.
Json options_at(const MethodEntry& entry, const std::string& site, const std::string& who) {
  Json options = entry.options;
  const Json schema = parse_json(entry.api.config_schema, who);
  const auto properties = schema.find("properties");
  if (properties == schema.end()) return options;
  for (auto it = properties->begin(); it != properties->end(); ++it) {
    const auto overrides = it.value().find("x-graft-overrides");
    const auto patterns = entry.options.find(it.key());
    if (overrides == it.value().end() || patterns == entry.options.end()) continue;
    const Json* value = pattern_value(*patterns, site, who + " " + it.key());
    if (value) options[overrides->get<std::string>()] = *value;
  }
  return options;
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
  call_plugin(plugin, [&](graft_error* error) {
    return entry.api.create(host.get(), configs[e].get(), &methods[e], error);
  });
  std::vector<graft_site*> matched;
  std::vector<std::deque<CSite>::iterator> mine;
  for (const std::size_t s : match_sites(sites, entry.api.site_kinds, entry.host, who(e),
                                         entry.loaded ? Unmatched::kIgnore : Unmatched::kRefuse)) {
    CSite& site = c_sites.emplace_back();
    site.base.api = &site_table();
    site.set = this;
    site.entry = e;
    site.site = s;
    site.config = std::make_unique<HostConfig>(options_at(entry, sites[s].name, who(e)));
    matched.push_back(&site.base);
    mine.push_back(std::prev(c_sites.end()));
  }
  if (entry.api.plan) {
    call_plugin(plugin, [&](graft_error* error) {
      return entry.api.plan(methods[e], matched.data(), static_cast<std::uint32_t>(matched.size()),
                            error);
    });
  }
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

// PEFT trains a copy of the whole module and saves it under the module's own name.
void AdapterSet::State::save_modules(std::size_t e, const std::vector<BaseTensor>& tensors) {
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
      p.entry = e;
      p.base = tensor.name;
      add_parameter(std::move(p));
      base_tensors[{e, tensor.name}] = parameters.size() - 1;
    }
    if (!any) {
      throw Error(GRAFT_E_INVALID,
                  cat(who(e), ": modules_to_save names '", module.get<std::string>(),
                      "', but the model has no module with weights of that name."));
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
                       const std::vector<BaseTensor>& tensors, const Log& log)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.sites = std::move(sites);
  s.entries = std::move(entries);
  s.host = std::make_unique<HostTable>(log);
  s.at_site.resize(s.sites.size());
  s.methods.assign(s.entries.size(), nullptr);
  for (const MethodEntry& entry : s.entries) {
    s.configs.push_back(std::make_unique<HostConfig>(entry.options));
  }
  try {
    for (std::size_t e = 0; e < s.entries.size(); ++e) {
      s.attach(e);
      s.save_modules(e, tensors);
    }
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

std::vector<std::size_t> AdapterSet::attached(std::size_t entry) const {
  std::vector<std::size_t> result;
  for (const Attachment& a : state_->attachments) {
    if (a.entry == entry) result.push_back(a.site->site);
  }
  return result;
}

// ---- recording ---------------------------------------------------------------------------------

struct AdapterRecording::State {
  AdapterSet::State* set = nullptr;
  Recorder* recorder = nullptr;
  std::uint32_t dtype = 0;
  bool train = false;
  std::vector<bool> active;
  std::unique_ptr<OpsContext> ctx;

  ValueId leaf(std::size_t i) {
    const Parameter& p = set->parameters.at(i);
    Shape shape;
    for (const std::int64_t d : p.dims) shape.push_back(d);
    return recorder->leaf(Role::kParameter, static_cast<std::int32_t>(i), dtype, shape, p.name,
                          train && p.trained());
  }
};

namespace {

/// One level of the middleware at a site: what a plugin sees as a graft_hook.
struct CHook {
  graft_hook base;  // first: the plugin's pointer is this one
  AdapterRecording::State* recording = nullptr;
  const SiteCall* call = nullptr;
  const std::vector<std::size_t>* attachments = nullptr;  // active ones, innermost first
  std::size_t level = 0;                                  // of this hook
  bool next_called = false;
};

std::size_t outputs_of(std::int32_t kind) {
  return kind == GRAFT_SITE_ATTN_KV ? 2 : 1;
}

std::vector<ValueId> run_level(AdapterRecording::State& rec, const SiteCall& call,
                               const std::vector<std::size_t>& attachments, std::size_t level,
                               const std::vector<ValueId>& in);

graft_status hook_next(graft_ctx* c, const graft_hook* hook, graft_tensor* const* in,
                       graft_tensor** out) {
  CHook& h = *const_cast<CHook*>(reinterpret_cast<const CHook*>(hook));
  OpsContext& ctx = *h.recording->ctx;
  if (ctx.status() < 0) return ctx.status();
  try {
    if (c != ctx.c_ctx()) throw Error(GRAFT_E_INVALID, "next() was given another recording's ctx.");
    if (h.next_called) throw Error(GRAFT_E_STATE, "next() was called twice.");
    h.next_called = true;
    std::vector<ValueId> values;
    for (std::uint32_t i = 0; i < h.base.n_in; ++i) {
      values.push_back(ctx.value(in[i]));
      if (values.back() == kNone) throw Error(GRAFT_E_INVALID, "next() was given NULL.");
    }
    const auto made = run_level(*h.recording, *h.call, *h.attachments, h.level, values);
    for (std::size_t i = 0; i < made.size(); ++i) out[i] = ctx.handle(made[i]);
  } catch (const Error& e) {
    ctx.fail(e.status(), e.what());
  } catch (const std::exception& e) {
    ctx.fail(GRAFT_E_INTERNAL, e.what());
  }
  return ctx.status();
}

/// Runs the first `level` attachments around the model's own op.
std::vector<ValueId> run_level(AdapterRecording::State& rec, const SiteCall& call,
                               const std::vector<std::size_t>& attachments, std::size_t level,
                               const std::vector<ValueId>& in) {
  if (level == 0) return call.inner(in);
  AdapterSet::State& set = *rec.set;
  const Attachment& a = set.attachments[attachments[level - 1]];
  const MethodEntry& entry = set.entries[a.entry];
  OpsContext& ctx = *rec.ctx;
  std::vector<graft_tensor*> inputs, outputs(outputs_of(call.site.kind), nullptr);
  for (const ValueId id : in) inputs.push_back(ctx.handle(id));
  CHook h{};
  h.base.struct_size = sizeof h.base;
  h.base.kind = call.site.kind;
  h.base.in = inputs.data();
  h.base.out = outputs.data();
  h.base.n_in = static_cast<std::uint32_t>(inputs.size());
  h.base.n_out = static_cast<std::uint32_t>(outputs.size());
  h.base.weight = call.weight == kNone ? nullptr : ctx.handle(call.weight);
  h.base.bias = call.bias == kNone ? nullptr : ctx.handle(call.bias);
  h.base.strength = ctx.handle(rec.recorder->scalar(cat("strength.", a.entry), rec.dtype));
  h.base.next = hook_next;
  h.recording = &rec;
  h.call = &call;
  h.attachments = &attachments;
  h.level = level - 1;
  const std::string who = cat(set.who(a.entry), " at '", call.site.name, "'");
  call_plugin(who, [&](graft_error*) {
    const graft_status status =
        entry.api.forward(set.methods[a.entry], a.state, ctx.c_ctx(), &h.base);
    if (status < 0 && ctx.status() == GRAFT_OK) ctx.fail(status, "forward failed");
    return graft_status{GRAFT_OK};
  });
  ctx.rethrow(who);
  std::vector<ValueId> made;
  for (graft_tensor* t : outputs) {
    made.push_back(ctx.value(t));
    if (made.back() == kNone)
      throw Error(GRAFT_E_INVALID, cat(who, ": forward left an output NULL."));
  }
  rec.recorder->at(call.site.name, call.site.layer);
  return made;
}

}  // namespace

AdapterRecording::AdapterRecording(AdapterSet& set, Recorder& recorder, std::uint32_t dtype,
                                   bool train, std::vector<bool> entries)
    : state_(std::make_unique<State>()) {
  state_->set = &set.state();
  state_->recorder = &recorder;
  state_->dtype = dtype;
  state_->train = train;
  state_->active = std::move(entries);
  state_->ctx = std::make_unique<OpsContext>(recorder, [s = state_.get()](std::int32_t i) {
    return s->leaf(static_cast<std::size_t>(i));
  });
}

AdapterRecording::~AdapterRecording() = default;

SiteRunner AdapterRecording::runner() {
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < state_->set->sites.size(); ++i) {
    index[state_->set->sites[i].name] = i;
  }
  return [s = state_.get(), index = std::move(index)](Recorder&, const SiteCall& call) {
    const auto found = index.find(call.site.name);
    std::vector<std::size_t> active;
    if (found != index.end()) {
      for (const std::size_t a : s->set->at_site[found->second]) {
        if (s->active.at(s->set->attachments[a].entry)) active.push_back(a);
      }
    }
    return run_level(*s, call, active, active.size(), call.in);
  };
}

WeightLookup AdapterRecording::lookup(WeightLookup base) {
  return [s = state_.get(), base = std::move(base)](Recorder& r, const std::string& name) {
    for (std::size_t e = s->set->entries.size(); e-- > 0;) {
      const auto found = s->set->base_tensors.find({e, name});
      if (found != s->set->base_tensors.end() && s->active.at(e)) return s->leaf(found->second);
    }
    return base(r, name);
  };
}

}  // namespace graft::core
