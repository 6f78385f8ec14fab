#include "core/optim/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/error.hpp"
#include "core/graph/ctx.hpp"
#include "core/plugin/call.hpp"
#include "core/plugin/host_config.hpp"

namespace graft::core {
namespace {

// Slots of kBuffer leaves in the programs below. Group g's master values are kFirst + g * kStride,
// its gradients 1 more, its states from 2 more on; with per-parameter updates g counts parameters.
constexpr std::int32_t kAllGradients = 0, kMaster = 1, kCompute = 2, kFirst = 3, kStride = 16;

std::uint32_t master_dtype(std::uint32_t compute) {
  return compute == GRAFT_F64 ? std::uint32_t{GRAFT_F64} : std::uint32_t{GRAFT_F32};
}

/// Where the k-th state of a unit lies in the k-th range of states. No extents: there is none.
struct StatePlace {
  std::vector<std::int64_t> dims;
  std::int64_t begin = 0;
};

/// A range of the flat memory that update() is given as one parameter.
struct Unit {
  std::string name;  ///< of the parameter, "" for several
  std::vector<std::int64_t> dims;
  std::int64_t begin = 0;
  std::size_t group = 0;
  std::vector<StatePlace> states;
};

std::int64_t product(const std::vector<std::int64_t>& dims) {
  std::int64_t n = 1;
  for (const std::int64_t d : dims) n *= d;
  return n;
}

}  // namespace

struct Optimizer::State {
  graft_optimizer_api api{};
  graft_optimizer* instance = nullptr;
  HostTable host;
  HostConfig config;
  ParameterLayout layout;
  std::uint32_t dtype = 0;
  std::vector<Unit> units;
  std::unique_ptr<Program> zero, norm, scale;
  std::vector<std::unique_ptr<Program>> updates;  // by phase
  ValueId norm_result = kNone;
  std::vector<std::int64_t> states;  // elements of each range that an update uses
  Refresh refresh;
  const ParameterMemory* memory = nullptr;

  State(const graft_optimizer_api& a, Json options, const Log& log, const Device& device,
        const ParameterLayout& l, std::uint32_t compute, const std::shared_ptr<Scratch>& scratch)
      : api(a),
        host(log),
        config(std::move(options)),
        layout(l),
        dtype(master_dtype(compute)),
        refresh(device, l, compute, scratch) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (instance) api.destroy(instance);
  }

  std::string who() const { return cat("optimizer ", api.name); }
  std::string scalar_name(std::size_t group, std::uint32_t k) const {
    return cat("scalar.", group, ".", k);
  }
  void place_units(const std::vector<Parameter>& parameters);
  void place_states();
  void record_update(Recorder& r, std::uint32_t phase);
};

namespace {

std::unique_ptr<Program> make_program(Recorder& r, const Device& device,
                                      const std::shared_ptr<Scratch>& scratch) {
  for (Node& node : r.graph().nodes) node.site = "optimizer";
  Plan plan = make_plan(r, device, PlanOptions{});
  scratch->require(plan);
  return std::make_unique<Program>(std::move(plan), device, scratch);
}

}  // namespace

void Optimizer::State::place_units(const std::vector<Parameter>& parameters) {
  for (std::size_t g = 0; g < layout.groups.size(); ++g) {
    const ParameterGroup& group = layout.groups[g];
    if (api.flags & GRAFT_OPTIMIZER_ELEMENTWISE) {
      units.push_back({"", {group.count}, group.begin, g, {}});
      continue;
    }
    for (const std::size_t i : group.members) {
      units.push_back({parameters[i].name, parameters[i].dims, layout.offset[i], g, {}});
    }
  }
}

/// Each state gets a range of its own; within it units lie in their order, as padded as parameters.
void Optimizer::State::place_states() {
  states.assign(api.n_state, 0);
  for (Unit& unit : units) {
    for (std::uint32_t k = 0; k < api.n_state; ++k) {
      StatePlace place{unit.dims, states[k]};
      if (api.state) {
        graft_state_desc desc{};
        desc.struct_size = sizeof desc;
        desc.n_dims = static_cast<std::uint32_t>(unit.dims.size());
        std::copy(unit.dims.begin(), unit.dims.end(), desc.dims);
        call_plugin(who(), [&](graft_error* error) {
          return api.state(instance, unit.name.c_str(), unit.dims.data(), desc.n_dims, k, &desc,
                           error);
        });
        place.dims.assign(desc.dims, desc.dims + std::min<std::uint32_t>(desc.n_dims, 4));
        for (const std::int64_t d : place.dims) {
          if (d >= 1 && d <= (std::int64_t{1} << 40)) continue;
          throw Error(GRAFT_E_INVALID,
                      cat(who(), ": state ", k, " of '", unit.name, "' has the extent ", d, "."));
        }
      }
      if (!place.dims.empty()) states[k] += (product(place.dims) + 15) / 16 * 16;
      unit.states.push_back(std::move(place));
    }
  }
}

void Optimizer::State::record_update(Recorder& r, std::uint32_t phase) {
  OpsContext ctx(r, [](std::int32_t) -> ValueId {
    throw Error(GRAFT_E_INVALID, "an optimizer was given a parameter of a method.");
  });
  for (std::size_t g = 0; g < layout.groups.size(); ++g) {
    std::vector<graft_tensor*> params, grads, its_states, scalars;
    std::vector<const char*> names;
    for (std::uint32_t k = 0; k < api.n_scalars; ++k) {
      scalars.push_back(ctx.handle(r.scalar(scalar_name(g, k), dtype)));
    }
    for (std::size_t u = 0; u < units.size(); ++u) {
      if (units[u].group != g) continue;
      const auto leaf = [&](std::int32_t which, const std::vector<std::int64_t>& dims,
                            const char* name) {
        const std::int32_t slot = kFirst + static_cast<std::int32_t>(u) * kStride + which;
        return ctx.handle(
            r.leaf(Role::kBuffer, slot, dtype, Shape(dims.begin(), dims.end()), name));
      };
      names.push_back(units[u].name.c_str());
      params.push_back(leaf(0, units[u].dims, "parameters"));
      grads.push_back(leaf(1, units[u].dims, "gradients"));
      for (std::uint32_t k = 0; k < api.n_state; ++k) {
        const auto& dims = units[u].states[k].dims;
        its_states.push_back(dims.empty()
                                 ? nullptr
                                 : leaf(2 + static_cast<std::int32_t>(k), dims, "optimizer state"));
      }
    }
    graft_update group{};
    group.struct_size = sizeof group;
    group.n = static_cast<std::uint32_t>(params.size());
    group.param = params.data();
    group.grad = grads.data();
    group.state = its_states.data();
    group.scalars = scalars.data();
    group.name = names.data();
    group.phase = phase;
    call_plugin(who(), [&](graft_error*) {
      const graft_status status = api.update(instance, ctx.c_ctx(), &group);
      if (status < 0 && ctx.status() == GRAFT_OK) ctx.fail(status, "update failed");
      return graft_status{GRAFT_OK};
    });
    ctx.rethrow(who());
  }
}

namespace {

/// How many states per parameter the recorded update reads or writes: SGD without momentum none.
std::size_t used_states(const Graph& graph) {
  std::int32_t used = 0;
  for (const Node& node : graph.nodes) {
    for (const ValueId id : node.in) {
      const Value& v = graph[id];
      if (v.role != Role::kBuffer || v.slot < kFirst) continue;
      used = std::max(used, (v.slot - kFirst) % kStride - 1);
    }
  }
  return static_cast<std::size_t>(used);
}

}  // namespace

Optimizer::Optimizer(const graft_optimizer_api& api, Json options, const Log& log,
                     const Device& device, const std::vector<Parameter>& parameters,
                     const ParameterLayout& layout, std::uint32_t compute_dtype,
                     std::shared_ptr<Scratch> scratch)
    : state_(std::make_unique<State>(api, std::move(options), log, device, layout, compute_dtype,
                                     scratch)) {
  State& s = *state_;
  if (api.n_state > static_cast<std::uint32_t>(kStride) - 2) {
    throw Error(GRAFT_E_INVALID,
                cat(s.who(), ": ", api.n_state, " states per parameter are too many."));
  }
  call_plugin(s.who(), [&](graft_error* error) {
    return s.api.create(&s.host, &s.config, &s.instance, error);
  });
  s.place_units(parameters);
  s.place_states();
  const auto gradients = [&](Recorder& r) {
    return r.leaf(Role::kBuffer, kAllGradients, s.dtype, {layout.trained}, "gradients");
  };
  {
    Graph graph;
    Recorder r(graph);
    r.assign(r.fill(s.dtype, {layout.trained}, 0), gradients(r), false);
    s.zero = make_program(r, device, scratch);
  }
  {
    Graph graph;
    Recorder r(graph);
    s.norm_result = r.one("sum_squares", {gradients(r)});
    graph.results = {s.norm_result};
    s.norm = make_program(r, device, scratch);
  }
  {
    Graph graph;
    Recorder r(graph);
    const ValueId g = gradients(r);
    r.assign(r.mul(g, r.scalar("factor", s.dtype)), g, false);
    s.scale = make_program(r, device, scratch);
  }
  std::size_t used = 0;
  for (std::uint32_t phase = 0; phase < std::max<std::uint32_t>(1, api.n_phases); ++phase) {
    Graph graph;
    Recorder r(graph);
    s.record_update(r, phase);
    used = std::max(used, used_states(graph));
    s.updates.push_back(make_program(r, device, scratch));
  }
  s.states.resize(used);
}

Optimizer::~Optimizer() = default;

std::vector<std::int64_t> Optimizer::states() const {
  return state_->states;
}

std::uint64_t Optimizer::state_elements() const {
  std::int64_t sum = 0;
  for (const std::int64_t n : state_->states) sum += n;
  return static_cast<std::uint64_t>(sum);
}

void Optimizer::bind(const ParameterMemory& memory) {
  State& s = *state_;
  s.memory = &memory;
  for (Program* p : {s.zero.get(), s.norm.get(), s.scale.get()}) {
    p->bind(Role::kBuffer, kAllGradients, memory.gradient_at(0));
  }
  const auto stride = static_cast<std::int64_t>(s.dtype == GRAFT_F64 ? 8 : 4);
  for (std::size_t u = 0; u < s.units.size(); ++u) {
    const std::int32_t slot = kFirst + static_cast<std::int32_t>(u) * kStride;
    const std::int64_t begin = s.units[u].begin;
    for (const auto& update : s.updates) {
      update->bind(Role::kBuffer, slot, memory.master_at(begin));
      update->bind(Role::kBuffer, slot + 1, memory.gradient_at(begin));
      for (std::size_t k = 0; k < memory.states.size(); ++k) {
        const std::int64_t at = s.units[u].states[k].begin * stride;
        update->bind(Role::kBuffer, slot + 2 + static_cast<std::int32_t>(k),
                     static_cast<std::byte*>(memory.states[k].get()) + at);
      }
    }
  }
}

void Optimizer::zero_gradients() {
  state_->zero->run({});
}

StepResult Optimizer::step(std::int64_t index, double lr, double clip) {
  State& s = *state_;
  s.norm->run({});
  double squares = 0;
  if (s.dtype == GRAFT_F64) {
    s.norm->read(s.norm_result, &squares);
  } else {
    float narrow = 0;
    s.norm->read(s.norm_result, &narrow);
    squares = narrow;
  }
  StepResult result;
  result.grad_norm = std::sqrt(squares);
  if (!std::isfinite(result.grad_norm)) return result;
  // torch.nn.utils.clip_grad_norm_: factor clip / (norm + 1e-6), never above 1.
  const double factor = clip > 0 ? clip / (result.grad_norm + 1e-6) : 1;
  if (factor < 1) {
    s.scale->set_scalar("factor", factor);
    s.scale->run({});
  }
  std::vector<double> scalars(s.api.n_scalars);
  Program* update = s.updates[0].get();
  for (std::size_t g = 0; g < s.layout.groups.size(); ++g) {
    graft_step step{};
    step.struct_size = sizeof step;
    step.decays = s.layout.groups[g].decays ? 1 : 0;
    step.index = index;
    step.lr = lr * s.layout.groups[g].lr_scale;
    if (g == 0 && s.api.phase) update = s.updates.at(s.api.phase(s.instance, &step)).get();
    if (s.api.scalars) s.api.scalars(s.instance, &step, scalars.data());
    for (std::uint32_t k = 0; k < s.api.n_scalars; ++k) {
      update->set_scalar(s.scalar_name(g, k), scalars[k]);
    }
  }
  update->run({});
  refresh();
  return result;
}

void Optimizer::refresh() {
  state_->refresh.run(*state_->memory);
}

void Optimizer::set_timer(const CallTimer& timer) {
  State& s = *state_;
  for (Program* p : {s.zero.get(), s.norm.get(), s.scale.get()}) p->set_timer(timer);
  for (const auto& update : s.updates) update->set_timer(timer);
  s.refresh.set_timer(timer);
}

Refresh::Refresh(const Device& device, const ParameterLayout& layout, std::uint32_t compute_dtype,
                 std::shared_ptr<Scratch> scratch) {
  const std::uint32_t master = master_dtype(compute_dtype);
  if (compute_dtype == master || layout.total == 0) return;
  Graph graph;
  Recorder r(graph);
  const ValueId from = r.leaf(Role::kBuffer, kMaster, master, {layout.total}, "master values");
  const ValueId to = r.leaf(Role::kBuffer, kCompute, compute_dtype, {layout.total}, "parameters");
  r.assign(from, to, false);
  program_ = make_program(r, device, scratch);
}

void Refresh::run(const ParameterMemory& memory) {
  if (!program_) return;
  program_->bind(Role::kBuffer, kMaster, memory.master_at(0));
  program_->bind(Role::kBuffer, kCompute, memory.compute_at(0));
  program_->run({});
}

void Refresh::set_timer(const CallTimer& timer) {
  if (program_) program_->set_timer(timer);
}

}  // namespace graft::core
