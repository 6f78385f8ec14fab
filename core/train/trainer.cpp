#include "core/train/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/adapt/between_steps.hpp"
#include "core/base/error.hpp"
#include "core/tensor/dtype.hpp"
#include "core/train/trainer_state.hpp"

namespace graft::core {
namespace {

/// Bytes that are copied at a time when the state is written or read.
constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;

std::vector<bool> decays(const std::vector<Parameter>& parameters,
                         const std::vector<std::string>& no_decay) {
  std::vector<bool> result;
  for (const Parameter& p : parameters) {
    result.push_back(std::none_of(no_decay.begin(), no_decay.end(), [&](const std::string& part) {
      return p.name.find(part) != std::string::npos;
    }));
  }
  return result;
}

}  // namespace

/// What a step changes: master values and states.
std::vector<std::pair<StateRange, std::byte*>> Trainer::State::Part::changed() const {
  std::vector<std::pair<StateRange, std::byte*>> result;
  result.push_back(
      {{memory.master_dtype, layout.total}, static_cast<std::byte*>(memory.master_at(0))});
  for (std::size_t i = 0; i < memory.states.size(); ++i) {
    result.push_back({memory.ranges[i], static_cast<std::byte*>(memory.states[i].get())});
  }
  return result;
}

std::unique_ptr<Program> Trainer::State::program(Plan plan) {
  scratch->require(plan);
  return std::make_unique<Program>(std::move(plan), device, scratch);
}

void Trainer::State::add(TrainerRun run, const Log& log) {
  if (run.options.resident_states > 0 && !device.has(GRAFT_CAP_HOST_MEMORY)) {
    throw Error(GRAFT_E_CONFIG, cat("optimizer.paged: backend '", device.name(),
                                    "' does not compute in the memory of files. Leave it out."));
  }
  Part part;
  part.run = std::move(run);
  if (!parts.empty()) {
    const Part& last = parts.back();
    part.place.first_parameter =
        last.place.first_parameter + static_cast<std::int32_t>(last.parameters().size());
    part.place.first_entry = last.place.first_entry + last.run.adapters->entries().size();
  }
  const TrainerOptions& options = part.run.options;
  part.layout = lay_out(part.parameters(), decays(part.parameters(), options.no_decay));
  if (part.layout.trained == 0) {
    throw Error(GRAFT_E_INVALID, "methods: nothing is trained. Add a method with trainable parts.");
  }
  part.optimizer = std::make_unique<Optimizer>(part.run.optimizer, part.run.optimizer_options, log,
                                               device, part.parameters(), part.layout,
                                               model.dtype(), scratch, options.resident_states);
  parts.push_back(std::move(part));
}

Trainer::Trainer(Device device, Model model, std::vector<TrainerRun> runs, const Log& log)
    : state_(std::make_unique<State>(std::move(device), std::move(model))) {
  State& s = *state_;
  for (TrainerRun& run : runs) s.add(std::move(run), log);
  for (std::size_t k = 0; k < s.parts.size() && s.groups(); ++k) {
    s.parts[k].place.group = static_cast<std::int32_t>(k);
  }
  const TrainerOptions& options = s.options();
  Plan eval_plan;
  if (bounds_of(s.bounds(false), false).rows > 0) {
    State::Recorded recorded = s.record(false, Recompute::kNothing);
    s.eval_losses = recorded.losses;
    s.eval = s.program(std::move(recorded.plan));
  }
  // auto: the least recomputing that fits; without a limit, what is cheap to make again is.
  std::vector<Recompute> tries;
  switch (options.recompute) {
    case RecomputeChoice::kNothing:
      tries = {Recompute::kNothing};
      break;
    case RecomputeChoice::kLean:
      tries = {Recompute::kLean};
      break;
    case RecomputeChoice::kBlock:
      tries = {Recompute::kBlock};
      break;
    case RecomputeChoice::kAuto:
      tries = {Recompute::kLean, Recompute::kBlock};
      if (options.memory_limit > 0) tries.insert(tries.begin(), Recompute::kNothing);
      break;
  }
  Plan chosen;
  for (const Recompute recompute : tries) {
    State::Recorded recorded = s.record(true, recompute);
    s.add_up(recorded.plan);
    chosen = std::move(recorded.plan);
    s.train_losses = recorded.losses;
    for (std::size_t k = 0; k < s.parts.size(); ++k) s.parts[k].terms = recorded.terms[k];
    if (options.memory_limit == 0 || s.cost.total() <= options.memory_limit) break;
  }
  s.enforce_limit();
  s.train = s.program(std::move(chosen));
  ++s.recordings;
}

Trainer::~Trainer() = default;

const Cost& Trainer::cost() const {
  return state_->cost;
}

void Trainer::start(int threads) {
  State& s = *state_;
  s.model.load(threads);
  for (State::Part& part : s.parts) {
    std::optional<fs::path> pages;
    if (part.run.options.resident_states > 0) pages = part.run.options.page_folder;
    part.memory = ParameterMemory::allocate(s.device, part.layout, s.model.dtype(), true,
                                            part.optimizer->states(), pages);
  }
  s.scratch->allocate(s.device);
  for (Program* p : {s.train.get(), s.eval.get()}) {
    if (!p) continue;
    s.model.bind(*p);
    set_rope_inputs(*p, s.model.config());
    for (State::Part& part : s.parts) {
      const auto& parameters = part.parameters();
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        const auto slot = part.place.first_parameter + static_cast<std::int32_t>(i);
        const std::int64_t at = part.layout.offset[i];
        p->bind(Role::kParameter, slot, part.memory.seen_at(parameters[i], at));
        if (parameters[i].trained()) p->bind(Role::kBuffer, slot, part.memory.gradient_at(at));
      }
      const std::uint64_t number = part.run.options.seed;
      const std::int32_t seed[2] = {static_cast<std::int32_t>(number),
                                    static_cast<std::int32_t>(number >> 32)};
      const std::int32_t group = part.place.group;
      p->set_input(group < 0 ? "seed" : cat("seed.", group), seed, sizeof seed);
    }
  }
  std::size_t entry = 0;
  const auto base = [&](const std::string& name) { return s.model.values(name); };
  for (std::size_t k = 0; k < s.parts.size(); ++k) {
    State::Part& part = s.parts[k];
    part.optimizer->bind(part.memory);
    for (std::size_t e = 0; e < part.run.adapters->entries().size(); ++e) strength(entry++, 1);
    LastFactors last;
    for (std::size_t i = 0; i < part.parameters().size(); ++i) {
      set(k, i, initial_values(part.parameters()[i], part.run.options.seed, base, &last));
    }
    refresh(k);
  }
}

void Trainer::strength(std::size_t entry, double value) {
  for (Program* p : {state_->train.get(), state_->eval.get()}) {
    if (p) p->set_scalar(cat("strength.", entry), value);
  }
}

std::vector<double> Trainer::State::read(const Program& p, ValueId id) const {
  const std::int64_t n = p.layout(id).count();
  const std::uint32_t dtype = p.plan().graph[id].dtype;
  std::vector<std::byte> raw(static_cast<std::size_t>(n) * dtype_size(dtype));
  p.read(id, raw.data());
  std::vector<double> numbers(static_cast<std::size_t>(n));
  convert(GRAFT_F64, numbers.data(), dtype, raw.data(), n);
  return numbers;
}

void Trainer::State::set_numbers(Program& p, const std::string& input,
                                 const std::vector<double>& numbers) const {
  const std::uint32_t dtype = statistics_dtype(model.dtype());
  std::vector<std::byte> raw(numbers.size() * dtype_size(dtype));
  convert(dtype, raw.data(), GRAFT_F64, numbers.data(), static_cast<std::int64_t>(numbers.size()));
  p.set_input(input, raw.data(), raw.size());
}

/// The losses of one pass, by run.
std::vector<double> Trainer::State::run(Program& p, ValueId losses,
                                        const std::vector<const Batch*>& batches) {
  if (!groups()) {
    p.run(set_batch(p, *batches[0], parts[0].run.adapters->virtual_tokens(), model.config()));
    return read(p, losses);
  }
  Bindings b = set_batch(p, joined(batches), VirtualTokens{}, model.config());
  std::vector<std::int32_t> run_of;
  for (std::size_t k = 0; k < batches.size(); ++k) {
    b[group_rows(k)] = batches[k]->rows();
    const std::vector<std::int32_t> keys = row_keys(*batches[k], 0);
    p.set_input(cat("row_keys.", k), keys.data(), keys.size() * sizeof(std::int32_t));
    run_of.insert(run_of.end(), batches[k]->supervised_rows.size(), static_cast<std::int32_t>(k));
  }
  p.set_input("supervised_runs", run_of.data(), run_of.size() * sizeof(std::int32_t));
  p.run(b);
  return read(p, losses);
}

void Trainer::begin(std::size_t run) {
  State::Part& part = state_->parts.at(run);
  part.optimizer->zero_gradients();
  part.loss_sum = 0;
  part.step = {};
}

void Trainer::pass(const std::vector<Share>& shares) {
  State& s = *state_;
  std::vector<const Batch*> batches;
  std::vector<double> weights;
  for (std::size_t k = 0; k < s.parts.size(); ++k) {
    const Share& share = shares.at(k);
    const bool any = share.batch.rows() > 0;
    batches.push_back(&share.batch);
    weights.push_back(any ? 1 / static_cast<double>(share.supervised) : 0);
    s.set_numbers(*s.train, cat("inv_micro_steps.", k),
                  {any ? 1 / static_cast<double>(share.micro_steps) : 0});
  }
  s.set_numbers(*s.train, "inv_denominator", weights);
  const std::vector<double> losses = s.run(*s.train, s.train_losses, batches);
  for (std::size_t k = 0; k < s.parts.size(); ++k) {
    State::Part& part = s.parts[k];
    if (shares[k].batch.rows() == 0) continue;
    part.loss_sum += losses[k];
    part.supervised = shares[k].supervised;
    part.step.tokens += shares[k].batch.rows();
    part.step.supervised += shares[k].batch.supervised;
  }
}

StepMetrics Trainer::finish(std::size_t run, std::int64_t index) {
  State& s = *state_;
  State::Part& part = s.parts.at(run);
  const TrainerOptions& options = part.run.options;
  StepMetrics m = part.step;
  m.lr = options.lr * options.schedule.factor(index - 1);
  m.loss = part.loss_sum / static_cast<double>(part.supervised);
  if (part.terms != kNone) m.loss += s.read(*s.train, part.terms).at(0);
  if (!std::isfinite(m.loss)) {
    throw Error(GRAFT_E_DIVERGED, cat("the loss of step ", index, " is not a number."));
  }
  m.grad_norm = part.optimizer->step(index, m.lr, options.clip).grad_norm;
  if (!std::isfinite(m.grad_norm)) {
    throw Error(GRAFT_E_DIVERGED, cat("the gradient norm of step ", index, " is not a number."));
  }
  bool written = false;
  after_step(*part.run.adapters, {index, [&](std::size_t i) { return get(run, i); },
                                  [&](std::size_t i) {
                                    return s.values(part, i,
                                                    part.memory.gradient_at(part.layout.offset[i]));
                                  },
                                  [&](std::size_t i, const std::vector<float>& values) {
                                    set(run, i, values);
                                    written = true;
                                  }});
  if (written) refresh(run);
  return m;
}

void Trainer::evaluate(std::size_t run, const Batch& batch, double& loss_sum,
                       std::int64_t& tokens) {
  State& s = *state_;
  if (!s.eval) throw Error(GRAFT_E_STATE, "the trainer was planned without evaluation.");
  const Batch nothing;
  std::vector<const Batch*> batches(s.parts.size(), &nothing);
  batches.at(run) = &batch;
  loss_sum += s.run(*s.eval, s.eval_losses, batches).at(run);
  tokens += batch.supervised;
}

/// As many numbers as the parameter has, in the type of the master values.
std::vector<float> Trainer::State::values(const Part& part, std::size_t parameter,
                                          const void* from) const {
  const auto n = static_cast<std::size_t>(part.parameters()[parameter].count());
  std::vector<float> values(n);
  if (part.memory.master_dtype == GRAFT_F32) {
    device.copy_out(values.data(), from, n * sizeof(float));
  } else {
    std::vector<double> wide(n);
    device.copy_out(wide.data(), from, n * sizeof(double));
    convert(GRAFT_F32, values.data(), GRAFT_F64, wide.data(), static_cast<std::int64_t>(n));
  }
  return values;
}

std::vector<float> Trainer::get(std::size_t run, std::size_t parameter) const {
  const State::Part& part = state_->parts.at(run);
  return state_->values(part, parameter, part.memory.master_at(part.layout.offset[parameter]));
}

void Trainer::set(std::size_t run, std::size_t parameter, const std::vector<float>& values) {
  const State::Part& part = state_->parts.at(run);
  void* to = part.memory.master_at(part.layout.offset[parameter]);
  std::vector<std::byte> bytes(values.size() * dtype_size(part.memory.master_dtype));
  convert(part.memory.master_dtype, bytes.data(), GRAFT_F32, values.data(),
          static_cast<std::int64_t>(values.size()));
  state_->device.copy_in(to, bytes.data(), bytes.size());
  state_->device.wait();
}

void Trainer::refresh(std::size_t run) {
  state_->parts.at(run).optimizer->refresh();
}

std::vector<FlatState> Trainer::state(std::size_t run) const {
  const State& s = *state_;
  const State::Part& part = s.parts.at(run);
  if (part.memory.master_dtype != GRAFT_F32) {
    throw Error(GRAFT_E_INVALID, "checkpoints of f64 runs are not kept.");
  }
  std::vector<FlatState> result;
  for (const auto& [range, memory] : part.changed()) {
    result.push_back({range.dtype, range.count,
                      [&s, &part, memory = memory, n = range.bytes()](const Sink& sink) {
                        std::vector<std::byte> piece(std::min(n, kPiece));
                        for (std::uint64_t i = 0; i < n; i += kPiece) {
                          const std::uint64_t bytes = std::min(kPiece, n - i);
                          s.device.copy_out(piece.data(), memory + i, bytes);
                          if (part.paged(memory)) part.memory.pages.release(memory + i, bytes);
                          sink(piece.data(), bytes);
                        }
                      }});
  }
  return result;
}

void Trainer::set_state(std::size_t run, const std::vector<StoredState>& state,
                        const std::function<void()>& read) {
  const State& s = *state_;
  const State::Part& part = s.parts.at(run);
  const auto ranges = part.changed();
  if (state.size() != ranges.size()) {
    throw Error(GRAFT_E_INVALID, cat("the checkpoint has ", state.size() - 1,
                                     " states of each parameter, this run's "
                                     "optimizer keeps ",
                                     ranges.size() - 1, ": it is of another optimizer."));
  }
  for (std::size_t i = 0; i < state.size(); ++i) {
    const StateRange& range = ranges[i].first;
    if (state[i].dtype == range.dtype && state[i].bytes.size() == range.bytes()) continue;
    throw Error(
        GRAFT_E_INVALID,
        cat("the checkpoint is of another set of parameters or another optimizer: ",
            i == 0 ? std::string("the parameters") : cat("state ", i - 1), " of it are ",
            dtype_name(state[i].dtype), " in ", state[i].bytes.size(), " bytes, those of this run ",
            dtype_name(range.dtype), " in ", range.bytes(), "."));
  }
  for (std::size_t i = 0; i < state.size(); ++i) {
    std::byte* to = ranges[i].second;
    for (std::uint64_t at = 0; at < state[i].bytes.size(); at += kPiece) {
      const std::uint64_t bytes = std::min<std::uint64_t>(kPiece, state[i].bytes.size() - at);
      s.device.copy_in(to + at, state[i].bytes.data() + at, bytes);
      s.device.wait();
      if (part.paged(to)) part.memory.pages.release(to + at, bytes);
      if (read) read();
    }
  }
  refresh(run);
}

std::int64_t Trainer::recordings() const {
  return state_->recordings;
}

void Trainer::set_timer(const CallTimer& timer) {
  state_->train->set_timer(timer);
  for (const State::Part& part : state_->parts) part.optimizer->set_timer(timer);
}

std::uint32_t Trainer::dtype() const {
  return state_->model.dtype();
}

}  // namespace graft::core
