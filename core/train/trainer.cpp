#include "core/train/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/adapt/between_steps.hpp"
#include "core/base/error.hpp"
#include "core/base/size.hpp"
#include "core/graph/differentiate.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

/// What the process will take beyond what is planned: kernels compiled at run time, thread stacks,
/// batches.
constexpr std::uint64_t kRuntimeBytes = std::uint64_t{24} << 20;

/// Bytes that are copied at a time when the state is written or read.
constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;

Bindings bindings_of(const Bounds& b) {
  Bindings result;
  result[Symbol::kRows] = b.rows;
  result[Symbol::kSequences] = b.sequences;
  result[Symbol::kSupervised] = b.supervised;
  return result;
}

std::uint32_t statistics_dtype(std::uint32_t dtype) {
  return dtype == GRAFT_F64 ? std::uint32_t{GRAFT_F64} : std::uint32_t{GRAFT_F32};
}

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

struct Trainer::State {
  Device device;
  Model model;
  AdapterSet& adapters;
  TrainerOptions options;
  ParameterLayout layout;
  std::shared_ptr<Scratch> scratch = std::make_shared<Scratch>();
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Program> train, eval;
  ValueId train_loss = kNone, eval_loss = kNone;
  ValueId train_terms = kNone;  ///< what methods add to the loss of a step
  ParameterMemory memory;
  Cost cost;
  std::int64_t recordings = 0;  ///< of training steps, that run

  State(Device d, Model m, AdapterSet& a, TrainerOptions o)
      : device(std::move(d)), model(std::move(m)), adapters(a), options(std::move(o)) {}

  struct Recorded {
    Plan plan;
    ValueId loss, terms;
  };
  Recorded record(bool training, const Bounds& bounds, Recompute recompute);
  std::unique_ptr<Program> program(Plan plan);
  void add_up(const Plan& train_plan, const Bounds& bounds);
  void enforce_limit() const;
  double read_scalar(const Program& p, ValueId id) const;
  std::vector<float> values(std::size_t parameter, const void* from) const;
  double run(Program& p, ValueId loss, const Batch& batch, double inv_denominator);
  std::vector<std::pair<StateRange, std::byte*>> changed() const;
  bool paged(const void* at) const { return memory.pages && at != memory.master_at(0); }
};

/// What a step changes: master values and states.
std::vector<std::pair<StateRange, std::byte*>> Trainer::State::changed() const {
  std::vector<std::pair<StateRange, std::byte*>> result;
  result.push_back(
      {{memory.master_dtype, layout.total}, static_cast<std::byte*>(memory.master_at(0))});
  for (std::size_t i = 0; i < memory.states.size(); ++i) {
    result.push_back({memory.ranges[i], static_cast<std::byte*>(memory.states[i].get())});
  }
  return result;
}

Trainer::State::Recorded Trainer::State::record(bool training, const Bounds& bounds,
                                                Recompute recompute) {
  Graph graph;
  Recorder r(graph);
  r.training(training);
  const std::uint32_t dtype = model.dtype();
  AdapterRecording attached(adapters, r, dtype, training,
                            std::vector<bool>(adapters.entries().size(), true));
  const WeightLookup weights = attached.lookup(model.lookup());
  const SiteRunner runner = attached.runner();
  ValueId terms = training ? attached.loss_terms() : kNone;
  const DecoderMode mode{dtype, 0};
  const DecoderRecording decoder{model.config(), mode, weights, runner};
  const ValueId rows = r.input("supervised_rows", GRAFT_I32, {Symbol::kSupervised});
  const ValueId logits = decoder.logits(r, decoder.hidden(r), rows);
  r.at("loss", -1);
  const ValueId labels = r.input("labels", GRAFT_I32, {Symbol::kSupervised});
  const ValueId losses = r.record("cross_entropy", {logits, labels}).at(0);
  const ValueId sum = r.sum(losses, 0, true);
  graph.results = {sum};
  if (training) {
    ValueId mean = r.mul(sum, r.scalar("inv_denominator", statistics_dtype(dtype)));
    if (terms != kNone) {  // once per step, whatever the number of its micro-steps
      terms = r.affine(terms, 1, 0);
      graph.results.push_back(terms);
      mean = r.add(mean, r.mul(terms, r.scalar("inv_micro_steps", statistics_dtype(dtype))));
    }
    for (const auto& [leaf, gradient] : differentiate(r, mean)) {
      const Value& p = graph[leaf];
      const ValueId target =
          r.leaf(Role::kBuffer, p.slot, statistics_dtype(dtype), p.shape, "gradient of " + p.name);
      r.direction(Direction::kBackward);
      r.assign(gradient, target, true);
    }
  }
  PlanOptions options_;
  options_.bounds = bindings_of(bounds);
  options_.recompute = training ? recompute : Recompute::kNothing;
  return {make_plan(r, device, options_), sum, terms};
}

std::unique_ptr<Program> Trainer::State::program(Plan plan) {
  scratch->require(plan);
  return std::make_unique<Program>(std::move(plan), device, scratch);
}

void Trainer::State::add_up(const Plan& plan, const Bounds& bounds) {
  const std::uint64_t wide = dtype_size(statistics_dtype(model.dtype()));
  const auto total = static_cast<std::uint64_t>(layout.total);
  const auto trained = static_cast<std::uint64_t>(layout.trained);
  const bool copies = model.dtype() != statistics_dtype(model.dtype());
  cost = {};
  cost.process = resident_bytes() + kRuntimeBytes;
  cost.weights = model.mapped_bytes() + model.expanded_bytes();
  cost.activations = std::max(plan.arena_bytes, scratch->arena_bytes()) + plan.input_bytes;
  cost.workspace = std::max(plan.workspace_bytes, scratch->workspace_bytes());
  cost.gradients = trained * wide;
  const bool paged = options.resident_states > 0;
  cost.paged = paged ? optimizer->state_bytes() : 0;
  cost.optimizer = total * wide + (copies ? total * dtype_size(model.dtype()) : 0) +
                   (paged ? optimizer->part_bytes() : optimizer->state_bytes());
  for (const Parameter& p : adapters.parameters()) {
    if (p.trained()) cost.trainable += p.count();
  }
  cost.flops_per_token = plan.flops / static_cast<double>(std::max<std::int64_t>(1, bounds.rows));
  cost.forward_ops = plan.forward_ops;
  cost.backward_ops = plan.backward_ops;
  cost.capacity = bounds;
  cost.recompute = plan.options.recompute;
  cost.decomposed = plan.decomposed;
  cost.holders = plan.holders;
  cost.holders.push_back({"weights of the base model", cost.weights});
  cost.holders.push_back({"process", cost.process});
  cost.holders.push_back({"optimizer states and master values", cost.optimizer});
  cost.holders.push_back({"gradients", cost.gradients});
  cost.holders.push_back({"workspace of kernels", cost.workspace});
  std::stable_sort(cost.holders.begin(), cost.holders.end(),
                   [](const Holder& a, const Holder& b) { return a.bytes > b.bytes; });
}

void Trainer::State::enforce_limit() const {
  if (options.memory_limit == 0 || cost.total() <= options.memory_limit) return;
  std::string holders;
  for (std::size_t i = 0; i < 3 && i < cost.holders.size(); ++i) {
    holders +=
        cat(i > 0 ? ", " : "", cost.holders[i].name, " (", size_text(cost.holders[i].bytes), ")");
  }
  const char* advice =
      options.recompute == RecomputeChoice::kAuto || options.recompute == RecomputeChoice::kBlock
          ? "Lower data.max_length, train.batch_size or train.batch_tokens"
          : "Set train.recompute to \"block\" or \"auto\", lower train.batch_size "
            "or train.batch_tokens";
  throw Error(GRAFT_E_NO_MEMORY,
              cat("train.memory_limit is ", size_text(options.memory_limit),
                  ", but this run needs ", size_text(cost.total()), ". Largest: ", holders, ". ",
                  advice, ", or raise train.memory_limit."));
}

Trainer::Trainer(Device device, Model model, AdapterSet& adapters,
                 const graft_optimizer_api& optimizer, Json optimizer_options, const Log& log,
                 const TrainerOptions& options, const Bounds& train, const Bounds& eval)
    : state_(std::make_unique<State>(std::move(device), std::move(model), adapters, options)) {
  State& s = *state_;
  if (options.resident_states > 0 && !s.device.has(GRAFT_CAP_HOST_MEMORY)) {
    throw Error(GRAFT_E_CONFIG, cat("optimizer.paged: backend '", s.device.name(),
                                    "' does not compute in the memory of files. Leave it out."));
  }
  s.layout = lay_out(adapters.parameters(), decays(adapters.parameters(), options.no_decay));
  if (s.layout.trained == 0) {
    throw Error(GRAFT_E_INVALID, "methods: nothing is trained. Add a method with trainable parts.");
  }
  s.optimizer = std::make_unique<Optimizer>(optimizer, std::move(optimizer_options), log, s.device,
                                            adapters.parameters(), s.layout, s.model.dtype(),
                                            s.scratch, options.resident_states);
  Plan eval_plan;
  if (eval.rows > 0) {
    State::Recorded recorded = s.record(false, eval, Recompute::kNothing);
    s.eval_loss = recorded.loss;
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
    State::Recorded recorded = s.record(true, train, recompute);
    s.add_up(recorded.plan, train);
    chosen = std::move(recorded.plan);
    s.train_loss = recorded.loss;
    s.train_terms = recorded.terms;
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
  std::optional<fs::path> pages;
  if (s.options.resident_states > 0) pages = s.options.page_folder;
  s.memory = ParameterMemory::allocate(s.device, s.layout, s.model.dtype(), true,
                                       s.optimizer->states(), pages);
  s.scratch->allocate(s.device);
  s.optimizer->bind(s.memory);
  const auto& parameters = s.adapters.parameters();
  for (Program* p : {s.train.get(), s.eval.get()}) {
    if (!p) continue;
    s.model.bind(*p);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto slot = static_cast<std::int32_t>(i);
      p->bind(Role::kParameter, slot, s.memory.seen_at(parameters[i], s.layout.offset[i]));
      if (parameters[i].trained()) {
        p->bind(Role::kBuffer, slot, s.memory.gradient_at(s.layout.offset[i]));
      }
    }
    set_rope_inputs(*p, s.model.config());
    const std::int32_t seed[2] = {static_cast<std::int32_t>(s.options.seed),
                                  static_cast<std::int32_t>(s.options.seed >> 32)};
    p->set_input("seed", seed, sizeof seed);
  }
  for (std::size_t e = 0; e < s.adapters.entries().size(); ++e) strength(e, 1);
  LastFactors last;
  const auto base = [&](const std::string& name) { return s.model.values(name); };
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    set(i, initial_values(parameters[i], s.options.seed, base, &last));
  }
  refresh();
}

void Trainer::strength(std::size_t entry, double value) {
  for (Program* p : {state_->train.get(), state_->eval.get()}) {
    if (p) p->set_scalar(cat("strength.", entry), value);
  }
}

double Trainer::State::read_scalar(const Program& p, ValueId id) const {
  if (statistics_dtype(model.dtype()) == GRAFT_F64) {
    double v = 0;
    p.read(id, &v);
    return v;
  }
  float v = 0;
  p.read(id, &v);
  return v;
}

double Trainer::State::run(Program& p, ValueId loss, const Batch& batch, double inv_denominator) {
  const Bindings b = set_batch(p, batch, adapters.virtual_tokens(), model.config());
  p.set_scalar("inv_denominator", inv_denominator);
  p.run(b);
  return read_scalar(p, loss);
}

StepMetrics Trainer::step(std::int64_t index, std::int64_t supervised, std::size_t micro_steps,
                          const std::function<Batch(std::size_t)>& micro_step) {
  State& s = *state_;
  StepMetrics m;
  m.lr = s.options.lr * s.options.schedule.factor(index - 1);
  s.optimizer->zero_gradients();
  s.train->set_scalar("inv_micro_steps", 1 / static_cast<double>(micro_steps));
  double sum = 0;
  for (std::size_t i = 0; i < micro_steps; ++i) {
    const Batch batch = micro_step(i);
    sum += s.run(*s.train, s.train_loss, batch, 1 / static_cast<double>(supervised));
    m.tokens += batch.rows();
    m.supervised += batch.supervised;
  }
  m.loss = sum / static_cast<double>(supervised);
  if (s.train_terms != kNone) m.loss += s.read_scalar(*s.train, s.train_terms);
  if (!std::isfinite(m.loss)) {
    throw Error(GRAFT_E_DIVERGED, cat("the loss of step ", index, " is not a number."));
  }
  m.grad_norm = s.optimizer->step(index, m.lr, s.options.clip).grad_norm;
  if (!std::isfinite(m.grad_norm)) {
    throw Error(GRAFT_E_DIVERGED, cat("the gradient norm of step ", index, " is not a number."));
  }
  bool written = false;
  after_step(s.adapters,
             {index, [&](std::size_t i) { return get(i); },
              [&](std::size_t i) { return s.values(i, s.memory.gradient_at(s.layout.offset[i])); },
              [&](std::size_t i, const std::vector<float>& values) {
                set(i, values);
                written = true;
              }});
  if (written) refresh();
  return m;
}

void Trainer::evaluate(const Batch& batch, double& loss_sum, std::int64_t& tokens) {
  State& s = *state_;
  if (!s.eval) throw Error(GRAFT_E_STATE, "the trainer was planned without evaluation.");
  loss_sum += s.run(*s.eval, s.eval_loss, batch, 1);
  tokens += batch.supervised;
}

/// As many numbers as the parameter has, in the type of the master values.
std::vector<float> Trainer::State::values(std::size_t parameter, const void* from) const {
  const auto n = static_cast<std::size_t>(adapters.parameters()[parameter].count());
  std::vector<float> values(n);
  if (memory.master_dtype == GRAFT_F32) {
    device.copy_out(values.data(), from, n * sizeof(float));
  } else {
    std::vector<double> wide(n);
    device.copy_out(wide.data(), from, n * sizeof(double));
    convert(GRAFT_F32, values.data(), GRAFT_F64, wide.data(), static_cast<std::int64_t>(n));
  }
  return values;
}

std::vector<float> Trainer::get(std::size_t parameter) const {
  return state_->values(parameter, state_->memory.master_at(state_->layout.offset[parameter]));
}

void Trainer::set(std::size_t parameter, const std::vector<float>& values) {
  const State& s = *state_;
  void* to = s.memory.master_at(s.layout.offset[parameter]);
  std::vector<std::byte> bytes(values.size() * dtype_size(s.memory.master_dtype));
  convert(s.memory.master_dtype, bytes.data(), GRAFT_F32, values.data(),
          static_cast<std::int64_t>(values.size()));
  s.device.copy_in(to, bytes.data(), bytes.size());
  s.device.wait();
}

void Trainer::refresh() {
  state_->optimizer->refresh();
}

std::vector<FlatState> Trainer::state() const {
  const State& s = *state_;
  if (s.memory.master_dtype != GRAFT_F32) {
    throw Error(GRAFT_E_INVALID, "checkpoints of f64 runs are not kept.");
  }
  std::vector<FlatState> result;
  for (const auto& [range, memory] : s.changed()) {
    result.push_back(
        {range.dtype, range.count, [&s, memory = memory, n = range.bytes()](const Sink& sink) {
           std::vector<std::byte> piece(std::min(n, kPiece));
           for (std::uint64_t i = 0; i < n; i += kPiece) {
             const std::uint64_t bytes = std::min(kPiece, n - i);
             s.device.copy_out(piece.data(), memory + i, bytes);
             if (s.paged(memory)) s.memory.pages.release(memory + i, bytes);
             sink(piece.data(), bytes);
           }
         }});
  }
  return result;
}

void Trainer::set_state(const std::vector<StoredState>& state, const std::function<void()>& read) {
  State& s = *state_;
  const auto ranges = s.changed();
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
      if (s.paged(to)) s.memory.pages.release(to + at, bytes);
      if (read) read();
    }
  }
  refresh();
}

std::int64_t Trainer::recordings() const {
  return state_->recordings;
}

void Trainer::set_timer(const CallTimer& timer) {
  state_->train->set_timer(timer);
  state_->optimizer->set_timer(timer);
}

std::uint32_t Trainer::dtype() const {
  return state_->model.dtype();
}

}  // namespace graft::core
