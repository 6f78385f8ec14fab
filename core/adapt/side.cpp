#include "core/adapt/side.hpp"

#include "core/adapt/attach_state.hpp"
#include "core/base/error.hpp"
#include "core/graph/program.hpp"
#include "core/plugin/call.hpp"

namespace graft::core {
namespace {

/// A small recording of one entry's values, its parameters bound from the host.
class Side {
 public:
  Side(const Device& device, AdapterSet::State& set, const ParameterValues& values)
      : device_(device),
        set_(set),
        values_(values),
        recorder_(graph_),
        ctx_(recorder_, [this](std::int32_t i) { return leaf(static_cast<std::size_t>(i)); }) {
    recorder_.training(false);
  }

  OpsContext& ctx() { return ctx_; }
  Recorder& recorder() { return recorder_; }

  ValueId constant(const std::vector<std::int64_t>& dims, const std::vector<float>& values) {
    const auto slot = static_cast<std::int32_t>(constants_.size());
    constants_.push_back(copied(values));
    return recorder_.leaf(Role::kWeight, slot, GRAFT_F32, Shape(dims.begin(), dims.end()), "base");
  }

  /// A hook without inputs, for what is recorded beside the model.
  graft_hook hook(std::int32_t kind, ValueId weight, ValueId bias, double strength) {
    graft_hook h{};
    h.struct_size = sizeof h;
    h.kind = kind;
    h.weight = weight == kNone ? nullptr : ctx_.handle(weight);
    h.bias = bias == kNone ? nullptr : ctx_.handle(bias);
    h.strength = ctx_.handle(recorder_.fill(GRAFT_F32, {1}, strength));
    return h;
  }

  std::vector<float> run(ValueId result) {
    // A result must be computed; a leaf alone is not.
    const ValueId y = recorder_.one("affine", {result}, {{"mul", 0, 1}, {"add", 0, 0}});
    graph_.results = {y};
    Plan plan = make_plan(recorder_, device_, PlanOptions{});
    auto scratch = std::make_shared<Scratch>();
    scratch->require(plan);
    scratch->allocate(device_);
    Program program(std::move(plan), device_, scratch);
    for (std::size_t i = 0; i < constants_.size(); ++i) {
      program.bind(Role::kWeight, static_cast<std::int32_t>(i), constants_[i].get());
    }
    for (const auto& [slot, data] : bound_) program.bind(Role::kParameter, slot, data.get());
    program.run({});
    std::vector<float> values(static_cast<std::size_t>(program.layout(y).count()));
    program.read(y, values.data());
    return values;
  }

  std::vector<std::int64_t> dims(ValueId id) const {
    std::vector<std::int64_t> dims;
    for (const Extent& e : recorder_.shape(id)) dims.push_back(e.constant);
    return dims;
  }

 private:
  std::shared_ptr<void> copied(const std::vector<float>& values) {
    auto memory = device_.allocate(values.size() * sizeof(float));
    device_.copy_in(memory.get(), values.data(), values.size() * sizeof(float));
    device_.wait();
    return memory;
  }

  ValueId leaf(std::size_t i) {
    const Parameter& p = set_.parameters.at(i);
    const auto slot = static_cast<std::int32_t>(i);
    if (bound_.count(slot) == 0) bound_[slot] = copied(values_.at(i));
    return recorder_.leaf(Role::kParameter, slot, GRAFT_F32, Shape(p.dims.begin(), p.dims.end()),
                          p.name);
  }

  Device device_;
  AdapterSet::State& set_;
  const ParameterValues& values_;
  Graph graph_;
  Recorder recorder_;
  OpsContext ctx_;
  std::vector<std::shared_ptr<void>> constants_;
  std::map<std::int32_t, std::shared_ptr<void>> bound_;
};

}  // namespace

StoredTensor computed_tensor(const Device& device, AdapterSet& set, std::size_t entry,
                             const std::string& name, const ParameterValues& values) {
  AdapterSet::State& s = set.state();
  const std::string who = s.who(entry);
  for (const Attachment& a : s.attachments) {
    if (a.entry != entry) continue;
    Side side(device, s, values);
    const graft_hook hook = side.hook(s.sites[a.site->site].kind, kNone, kNone, 1);
    graft_tensor* made = nullptr;
    call_plugin(who, [&](graft_error*) {
      s.entries[entry].api.stored(s.methods[entry], a.state, side.ctx().c_ctx(), &hook,
                                  name.c_str(), &made);
      return graft_status{GRAFT_OK};
    });
    side.ctx().rethrow(who);
    const ValueId id = side.ctx().value(made);
    if (id == kNone) throw Error(GRAFT_E_INVALID, cat(who, ": stored() made no '", name, "'."));
    return {name, side.dims(id), [values = side.run(id)] { return values; }, name};
  }
  throw Error(GRAFT_E_INTERNAL, cat(who, " is attached nowhere."));
}

bool merges_at(AdapterSet& set, std::size_t site) {
  AdapterSet::State& s = set.state();
  bool any = false;
  for (const std::size_t i : s.at_site.at(site)) {
    const Attachment& a = s.attachments[i];
    const graft_method_api& api = s.entries[a.entry].api;
    if (!api.merge) {
      throw Error(GRAFT_E_INVALID,
                  cat(s.who(a.entry), " at '", s.sites[site].name, "' cannot be merged: what '",
                      api.name, "' does there is no change of weights. Use the adapter as it is, ",
                      "with --adapter."));
    }
    any = true;
  }
  return any;
}

ModuleTensors merged(const Device& device, AdapterSet& set, std::size_t site, ModuleTensors tensors,
                     const ParameterValues& values, const std::vector<double>& strengths) {
  AdapterSet::State& s = set.state();
  for (const std::size_t i : s.at_site.at(site)) {
    const Attachment& a = s.attachments[i];
    const graft_method_api& api = s.entries[a.entry].api;
    if (!api.merge) continue;
    const std::string who = cat(s.who(a.entry), " at '", s.sites[site].name, "'");
    // Weight and bias are recorded alike and run one after the other.
    const ModuleTensors before = tensors;
    for (const bool of_bias : {false, true}) {
      if (of_bias && before.bias.empty()) continue;
      Side side(device, s, values);
      const ValueId w = side.constant(before.shape, before.weight);
      const ValueId b =
          before.bias.empty()
              ? kNone
              : side.constant({static_cast<std::int64_t>(before.bias.size())}, before.bias);
      const graft_hook hook = side.hook(s.sites[site].kind, w, b, strengths.at(a.entry));
      graft_tensor *weight = hook.weight, *bias = hook.bias;
      call_plugin(who, [&](graft_error*) {
        api.merge(s.methods[a.entry], a.state, side.ctx().c_ctx(), &hook, &weight, &bias);
        return graft_status{GRAFT_OK};
      });
      side.ctx().rethrow(who);
      const ValueId id = side.ctx().value(of_bias ? bias : weight);
      if (id == kNone) throw Error(GRAFT_E_INVALID, cat(who, ": merge() left a tensor out."));
      (of_bias ? tensors.bias : tensors.weight) = side.run(id);
    }
  }
  return tensors;
}

const std::size_t* replaced_by(AdapterSet& set, const std::string& tensor) {
  AdapterSet::State& s = set.state();
  for (std::size_t e = s.entries.size(); e-- > 0;) {
    const auto found = s.base_tensors.find({e, tensor});
    if (found != s.base_tensors.end()) return &found->second;
  }
  return nullptr;
}

}  // namespace graft::core
