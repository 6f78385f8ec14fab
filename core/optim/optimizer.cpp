#include "core/optim/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.hpp"
#include "core/graph/ctx.hpp"
#include "core/plugin/call.hpp"
#include "core/plugin/host_config.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

// Slots of kBuffer leaves in the programs below. Group g's master values are kFirst + g * kStride,
// its gradients 1 more, its states from 2 more on; with per-parameter updates g counts parameters.
constexpr std::int32_t kAllGradients = 0, kMaster = 1, kCompute = 2, kFirst = 3, kStride = 16;

std::uint32_t master_dtype(std::uint32_t compute) {
  return compute == GRAFT_F64 ? std::uint32_t{GRAFT_F64} : std::uint32_t{GRAFT_F32};
}

/// Elements of an elementwise update are cut at multiples of this: whole pages of any state.
constexpr std::int64_t kPieceUnit = 4096;

/// Where the k-th state of a unit lies in the k-th range of states. No extents: there is none.
struct StatePlace {
  std::vector<std::int64_t> dims;
  std::int64_t begin = 0;
};

/// Units that one program updates.
struct Part {
  std::size_t begin = 0, end = 0;
  std::vector<std::unique_ptr<Program>> updates;  // by phase
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
  std::uint64_t resident = 0;  // bytes of states in a part, 0: any
  std::vector<Unit> units;
  std::unique_ptr<Program> zero, norm, scale;
  std::vector<Part> parts;
  ValueId norm_result = kNone;
  std::vector<StateRange> states;  // that an update uses
  Refresh refresh;
  const ParameterMemory* memory = nullptr;

  State(const graft_optimizer_api& a, Json options, const Log& log, const Device& device,
        const ParameterLayout& l, std::uint32_t compute, const std::shared_ptr<Scratch>& scratch,
        std::uint64_t resident_states)
      : api(a),
        host(log),
        config(std::move(options)),
        layout(l),
        dtype(master_dtype(compute)),
        resident(resident_states),
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
  void cut();
  void record_update(Recorder& r, const Part& part, std::uint32_t phase);
  std::int64_t most_per_piece() const;
  std::uint64_t bytes_of(const Unit& unit, std::size_t state) const;
  void release(const Part& part) const;
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

/// Elements of an elementwise update that fit in a part.
std::int64_t Optimizer::State::most_per_piece() const {
  if (resident == 0 || api.n_state == 0) return std::numeric_limits<std::int64_t>::max();
  const std::uint64_t fit = resident / (api.n_state * dtype_size(dtype)) / kPieceUnit;
  return static_cast<std::int64_t>(std::clamp<std::uint64_t>(fit, 1, 1 << 20)) * kPieceUnit;
}

std::uint64_t Optimizer::State::bytes_of(const Unit& unit, std::size_t state) const {
  const auto& dims = unit.states[state].dims;
  return dims.empty() ? 0
                      : static_cast<std::uint64_t>(product(dims)) * dtype_size(states[state].dtype);
}

void Optimizer::State::place_units(const std::vector<Parameter>& parameters) {
  for (std::size_t g = 0; g < layout.groups.size(); ++g) {
    const ParameterGroup& group = layout.groups[g];
    if (api.flags & GRAFT_OPTIMIZER_ELEMENTWISE) {
      const std::int64_t most = most_per_piece();
      for (std::int64_t at = 0; at < group.count; at += std::min(most, group.count - at)) {
        units.push_back({"", {std::min(most, group.count - at)}, group.begin + at, g, {}});
      }
      continue;
    }
    for (const std::size_t i : group.members) {
      units.push_back({parameters[i].name, parameters[i].dims, layout.offset[i], g, {}});
    }
  }
}

/// Each state gets a range of its own; within it units lie in their order, as padded as parameters.
void Optimizer::State::place_states() {
  states.assign(api.n_state, {});
  for (Unit& unit : units) {
    for (std::uint32_t k = 0; k < api.n_state; ++k) {
      StatePlace place{unit.dims, states[k].count};
      std::uint32_t kind = dtype;
      if (api.state) {
        graft_state_desc desc{};
        desc.struct_size = sizeof desc;
        desc.n_dims = static_cast<std::uint32_t>(unit.dims.size());
        std::copy(unit.dims.begin(), unit.dims.end(), desc.dims);
        desc.dtype = dtype;
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
        kind = desc.dtype;
      }
      if (!place.dims.empty()) {
        if ((kind != dtype && kind != GRAFT_U8) ||
            (states[k].dtype != 0 && states[k].dtype != kind)) {
          throw Error(GRAFT_E_INVALID,
                      cat(who(), ": state ", k, " of '", unit.name, "' is ", dtype_name(kind),
                          "; states are u8 or as parameters are, and the same of all."));
        }
        states[k].dtype = kind;
        states[k].count += (product(place.dims) + 15) / 16 * 16;
      }
      unit.states.push_back(std::move(place));
    }
  }
  for (StateRange& range : states) range.dtype = range.dtype == 0 ? dtype : range.dtype;
}

/// Parts with as many units as may be resident at once, with one at least.
void Optimizer::State::cut() {
  std::uint64_t held = 0;
  for (std::size_t u = 0; u < units.size(); ++u) {
    std::uint64_t bytes = 0;
    for (std::uint32_t k = 0; k < api.n_state; ++k) bytes += bytes_of(units[u], k);
    if (parts.empty() || (resident > 0 && held + bytes > resident)) {
      parts.push_back({u, u, {}});
      held = 0;
    }
    parts.back().end = u + 1;
    held += bytes;
  }
}

void Optimizer::State::record_update(Recorder& r, const Part& part, std::uint32_t phase) {
  OpsContext ctx(r, [](std::int32_t) -> ValueId {
    throw Error(GRAFT_E_INVALID, "an optimizer was given a parameter of a method.");
  });
  for (std::size_t g = 0; g < layout.groups.size(); ++g) {
    std::vector<graft_tensor*> params, grads, its_states, scalars;
    std::vector<const char*> names;
    for (std::uint32_t k = 0; k < api.n_scalars; ++k) {
      scalars.push_back(ctx.handle(r.scalar(scalar_name(g, k), dtype)));
    }
    for (std::size_t u = part.begin; u < part.end; ++u) {
      if (units[u].group != g) continue;
      const auto leaf = [&](std::int32_t which, const std::vector<std::int64_t>& dims,
                            std::uint32_t kind, const char* name) {
        const std::int32_t slot = kFirst + static_cast<std::int32_t>(u) * kStride + which;
        return ctx.handle(r.leaf(Role::kBuffer, slot, kind, Shape(dims.begin(), dims.end()), name));
      };
      names.push_back(units[u].name.c_str());
      params.push_back(leaf(0, units[u].dims, dtype, "parameters"));
      grads.push_back(leaf(1, units[u].dims, dtype, "gradients"));
      for (std::uint32_t k = 0; k < api.n_state; ++k) {
        const auto& dims = units[u].states[k].dims;
        its_states.push_back(dims.empty() ? nullptr
                                          : leaf(2 + static_cast<std::int32_t>(k), dims,
                                                 states[k].dtype, "optimizer state"));
      }
    }
    if (params.empty()) continue;
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
                     std::shared_ptr<Scratch> scratch, std::uint64_t resident)
    : state_(std::make_unique<State>(api, std::move(options), log, device, layout, compute_dtype,
                                     scratch, resident)) {
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
  s.cut();
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
  for (Part& part : s.parts) {
    for (std::uint32_t phase = 0; phase < std::max<std::uint32_t>(1, api.n_phases); ++phase) {
      Graph graph;
      Recorder r(graph);
      s.record_update(r, part, phase);
      used = std::max(used, used_states(graph));
      part.updates.push_back(make_program(r, device, scratch));
    }
  }
  s.states.resize(used);
}

Optimizer::~Optimizer() = default;

std::vector<StateRange> Optimizer::states() const {
  return state_->states;
}

std::uint64_t Optimizer::state_bytes() const {
  std::uint64_t sum = 0;
  for (const StateRange& range : state_->states) sum += range.bytes();
  return sum;
}

std::uint64_t Optimizer::part_bytes() const {
  const State& s = *state_;
  std::uint64_t most = 0;
  for (const Part& part : s.parts) {
    std::uint64_t bytes = 0;
    for (std::size_t u = part.begin; u < part.end; ++u) {
      for (std::size_t k = 0; k < s.states.size(); ++k) bytes += s.bytes_of(s.units[u], k);
    }
    most = std::max(most, bytes);
  }
  return most;
}

/// The states of the part are done with for this step.
void Optimizer::State::release(const Part& part) const {
  if (!memory->pages) return;
  for (std::size_t k = 0; k < states.size(); ++k) {
    const auto size = static_cast<std::int64_t>(dtype_size(states[k].dtype));
    const std::int64_t begin = units[part.begin].states[k].begin;
    const std::int64_t end =
        part.end < units.size() ? units[part.end].states[k].begin : states[k].count;
    memory->pages.release(static_cast<std::byte*>(memory->states[k].get()) + begin * size,
                          static_cast<std::uint64_t>((end - begin) * size));
  }
}

void Optimizer::bind(const ParameterMemory& memory) {
  State& s = *state_;
  s.memory = &memory;
  for (Program* p : {s.zero.get(), s.norm.get(), s.scale.get()}) {
    p->bind(Role::kBuffer, kAllGradients, memory.gradient_at(0));
  }
  for (const Part& part : s.parts) {
    for (std::size_t u = part.begin; u < part.end; ++u) {
      const std::int32_t slot = kFirst + static_cast<std::int32_t>(u) * kStride;
      const std::int64_t begin = s.units[u].begin;
      for (const auto& update : part.updates) {
        update->bind(Role::kBuffer, slot, memory.master_at(begin));
        update->bind(Role::kBuffer, slot + 1, memory.gradient_at(begin));
        for (std::size_t k = 0; k < memory.states.size(); ++k) {
          const auto size = static_cast<std::int64_t>(dtype_size(s.states[k].dtype));
          update->bind(
              Role::kBuffer, slot + 2 + static_cast<std::int32_t>(k),
              static_cast<std::byte*>(memory.states[k].get()) + s.units[u].states[k].begin * size);
        }
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
  std::vector<std::pair<std::string, double>> named;
  std::uint32_t phase = 0;
  for (std::size_t g = 0; g < s.layout.groups.size(); ++g) {
    graft_step step{};
    step.struct_size = sizeof step;
    step.decays = s.layout.groups[g].decays ? 1 : 0;
    step.index = index;
    step.lr = lr * s.layout.groups[g].lr_scale;
    if (g == 0 && s.api.phase) phase = s.api.phase(s.instance, &step);
    if (s.api.scalars) s.api.scalars(s.instance, &step, scalars.data());
    for (std::uint32_t k = 0; k < s.api.n_scalars; ++k) {
      named.emplace_back(s.scalar_name(g, k), scalars[k]);
    }
  }
  for (const Part& part : s.parts) {
    Program& update = *part.updates.at(phase);
    for (const auto& [name, value] : named) update.set_scalar(name, value);
    update.run({});
    s.release(part);
  }
  refresh();
  return result;
}

void Optimizer::refresh() {
  state_->refresh.run(*state_->memory);
}

void Optimizer::set_timer(const CallTimer& timer) {
  State& s = *state_;
  for (Program* p : {s.zero.get(), s.norm.get(), s.scale.get()}) p->set_timer(timer);
  for (const Part& part : s.parts) {
    for (const auto& update : part.updates) update->set_timer(timer);
  }
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
