// The attached methods within one recording: hooks around the model's own ops.
#include <algorithm>
#include <map>

#include "core/adapt/attach_state.hpp"
#include "core/adapt/virtual_tokens.hpp"
#include "core/base/error.hpp"
#include "core/plugin/call.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {

struct AdapterRecording::State {
  AdapterSet::State* set = nullptr;
  Recorder* recorder = nullptr;
  std::uint32_t dtype = 0;
  bool train = false, follows = false;
  std::vector<bool> active;
  RecordingPlace place;
  std::map<std::string, std::size_t> sites;  // by name
  std::unique_ptr<OpsContext> ctx;

  std::string strength(std::size_t entry) const {
    return cat("strength.", place.first_entry + entry);
  }
  std::vector<std::size_t> attachments(const std::string& site) const {
    std::vector<std::size_t> result;
    const auto found = sites.find(site);
    if (found == sites.end()) return result;
    for (const std::size_t a : set->at_site[found->second]) {
      if (active.at(set->attachments[a].entry)) result.push_back(a);
    }
    return result;
  }

  ValueId leaf(std::size_t i) {
    const Parameter& p = set->parameters.at(i);
    Shape shape;
    for (const std::int64_t d : p.dims) shape.push_back(d);
    const std::uint32_t wide = dtype == GRAFT_F64 ? dtype : std::uint32_t{GRAFT_F32};
    return recorder->leaf(Role::kParameter, place.first_parameter + static_cast<std::int32_t>(i),
                          p.wide() ? wide : dtype, shape, p.name, train && p.trained());
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
  std::int64_t virtual_rows = 0;
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

/// [0 or 1 by id] as a column, for rows of `rank` axes.
ValueId choice(Recorder& r, ValueId ids, std::uint32_t dtype, double first, double second,
               std::size_t rank) {
  const ValueId table = r.concat({r.fill(dtype, {1, 1}, first), r.fill(dtype, {1, 1}, second)}, 0);
  Shape column = {r.shape(ids)[0]};
  column.resize(rank, 1);
  return r.reshape(r.one("gather", {table, ids}), column);
}

/// x [rows + before sequences, ..] and n rows more per sequence: each row is picked from x or from
/// the prefix, and the other pick counts for nothing. The host fills the inputs (prepend_inputs).
ValueId prepend(Recorder& r, ValueId x, ValueId prefix) {
  const Shape shape = r.shape(x);
  const std::int64_t n = r.shape(prefix).at(0).constant;
  const Extent rows = shape.at(0) + Extent(Symbol::kSequences) * n;
  const std::int64_t before = shape[0].coefficient[static_cast<std::size_t>(Symbol::kSequences)];
  const auto input = [&](const char* what) {
    return r.input(prepend_input(before, n, what), GRAFT_I32, {rows});
  };
  const ValueId own = input("own");
  const auto part = [&](ValueId table, const char* what, bool is_own) {
    const ValueId weight = choice(r, own, r.dtype(x), is_own ? 0 : 1, is_own ? 1 : 0, shape.size());
    return r.mul(r.one("gather", {table, input(what)}), weight);
  };
  return r.add(part(x, "row", true), part(prefix, "head", false));
}

graft_tensor* hook_prepend(graft_ctx* c, const graft_hook* hook, graft_tensor* x,
                           graft_tensor* prefix) {
  CHook& h = *const_cast<CHook*>(reinterpret_cast<const CHook*>(hook));
  OpsContext& ctx = *h.recording->ctx;
  if (ctx.status() < 0) return nullptr;
  try {
    const std::int64_t declared = h.virtual_rows;
    const ValueId rows = ctx.value(x), head = ctx.value(prefix);
    if (c != ctx.c_ctx() || rows == kNone || head == kNone) {
      throw Error(GRAFT_E_INVALID, "prepend() was given NULL, or another recording's ctx.");
    }
    const Shape shape = ctx.recorder().shape(head);
    if (declared == 0 || !(shape.at(0) == Extent(declared))) {
      throw Error(GRAFT_E_INVALID, cat("prepend() was given a prefix ", to_string(shape),
                                       ", but virtual_tokens() has declared ", declared, " rows."));
    }
    if (h.recording->follows) return ctx.handle(rows);
    // The prefix is not to be scaled with what comes out of the site.
    Recorder& r = ctx.recorder();
    const double scale = h.call->site.scale;
    return ctx.handle(prepend(r, rows, scale == 1 ? head : r.affine(head, 1 / scale, 0)));
  } catch (const Error& e) {
    ctx.fail(e.status(), e.what());
  } catch (const std::exception& e) {
    ctx.fail(GRAFT_E_INTERNAL, e.what());
  }
  return nullptr;
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
  h.base.strength = ctx.handle(rec.recorder->scalar(rec.strength(a.entry), rec.dtype));
  h.base.next = hook_next;
  h.base.prepend = hook_prepend;
  h.virtual_rows = a.site->virtual_rows;
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
                                   bool train, std::vector<bool> entries, RecordingPlace place)
    : state_(std::make_unique<State>()) {
  state_->set = &set.state();
  state_->recorder = &recorder;
  state_->dtype = dtype;
  state_->train = train;
  state_->active = std::move(entries);
  state_->place = place;
  for (std::size_t i = 0; i < state_->set->sites.size(); ++i) {
    state_->sites[state_->set->sites[i].name] = i;
  }
  state_->ctx = std::make_unique<OpsContext>(recorder, [s = state_.get()](std::int32_t i) {
    return s->leaf(static_cast<std::size_t>(i));
  });
}

AdapterRecording::~AdapterRecording() = default;

void AdapterRecording::follows(bool on) {
  state_->follows = on;
}

SiteRunner AdapterRecording::runner() {
  return [s = state_.get()](Recorder& r, const SiteCall& call) {
    const std::vector<std::size_t> active = s->attachments(call.site.name);
    r.group(s->place.group);
    const std::vector<ValueId> made = run_level(*s, call, active, active.size(), call.in);
    r.group(-1);
    return made;
  };
}

bool AdapterRecording::at_site(const std::string& name) const {
  return !state_->attachments(name).empty();
}

ValueId AdapterRecording::loss_terms() {
  State& s = *state_;
  const std::uint32_t wide = s.dtype == GRAFT_F64 ? s.dtype : std::uint32_t{GRAFT_F32};
  ValueId sum = kNone;
  for (const Attachment& a : s.set->attachments) {
    const graft_method_api& api = s.set->entries[a.entry].api;
    if (!api.loss || !s.active.at(a.entry)) continue;
    const SiteInfo& site = s.set->sites[a.site->site];
    const std::string who = cat(s.set->who(a.entry), " at '", site.name, "'");
    s.recorder->at(site.name, site.layer);
    graft_hook hook{};
    hook.struct_size = sizeof hook;
    hook.kind = site.kind;
    hook.strength = s.ctx->handle(s.recorder->scalar(s.strength(a.entry), s.dtype));
    graft_tensor* made = nullptr;
    call_plugin(who, [&](graft_error*) {
      const graft_status status =
          api.loss(s.set->methods[a.entry], a.state, s.ctx->c_ctx(), &hook, &made);
      if (status < 0 && s.ctx->status() == GRAFT_OK) s.ctx->fail(status, "loss failed");
      return graft_status{GRAFT_OK};
    });
    s.ctx->rethrow(who);
    ValueId term = s.ctx->value(made);
    if (term == kNone) continue;
    if (!(s.recorder->shape(term) == Shape{Extent(1)})) {
      throw Error(GRAFT_E_INVALID, cat(who, ": a term of the loss is ",
                                       to_string(s.recorder->shape(term)), ", not [1]."));
    }
    if (s.recorder->dtype(term) != wide) term = s.recorder->cast(term, wide);
    sum = sum == kNone ? term : s.recorder->add(sum, term);
  }
  return sum;
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
