#include "core/train/run.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "core/adapt/row_groups.hpp"
#include "core/base/size.hpp"
#include "core/plugin/host_config.hpp"
#include "core/train/many_runs.hpp"
#include "core/train/plan_report.hpp"
#include "core/train/profile.hpp"
#include "core/train/session_parts.hpp"

namespace graft::core {
namespace {

using Clock = std::chrono::steady_clock;

/// From /proc: when this process started, in seconds before now.
double seconds_since_process_start() {
  std::ifstream stat("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), std::istreambuf_iterator<char>());
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 2));
  std::string field;
  for (int i = 3; i <= 22; ++i)
    fields >> field;  // the 22nd is the start, in clock ticks after boot
  double up = 0;
  std::ifstream("/proc/uptime") >> up;
  return up - std::stod(field) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

struct Run::State {
  Log log;
  RunOptions options;
  HostTable host;
  HostConfig backend_config;
  Json config;      ///< resolved
  fs::path output;  ///< of all runs
  Device device;
  std::vector<std::unique_ptr<Member>> members;
  std::unique_ptr<Trainer> trainer;
  bool started = false, warm = false, ran = false;
  std::atomic<bool> cancelled{false};
  Profile profile;
  Json machine;  ///< what the profile is compared with

  State(const RunConfig& first, const Log& l, RunOptions o)
      : log(l), options(o), host(l), backend_config(first.backend_options) {}

  bool several() const { return members.size() > 1; }
  bool named() const { return !members[0]->config.run.empty(); }
  Member& only(const char* what);
  void open(std::vector<RunConfig> configs, Registry& registry);
  void start();
  std::vector<std::optional<StepMetrics>> pass();
  void count(double seconds, std::int64_t tokens);
  void resume(const EventSink& sink);
};

Run::Run(std::vector<RunConfig> configs, Registry& registry, const Log& log, RunOptions options)
    : state_(std::make_unique<State>(configs.at(0), log, options)) {
  state_->open(std::move(configs), registry);
}

void Run::State::open(std::vector<RunConfig> configs, Registry& registry) {
  const RunConfig& shared = configs.at(0);
  device = Device::open(registry.backend(shared.backend), &host, &backend_config);
  const std::uint32_t dtype = choose_dtype(shared.dtype, device);
  const auto open_model = [path = shared.model, on = device, dtype,
                           quantization = shared.quantization] {
    return Model::open(path, on, dtype, quantization);
  };
  Model model = open_model();
  warn_of_model(model, log);
  const Text text = Text::open(shared.model, shared.chat_template, model.config().vocab, log);
  std::vector<TrainerRun> runs;
  for (RunConfig& c : configs) {  // `shared` goes with the first
    auto member = std::make_unique<Member>();
    member->config = std::move(c);
    member->log = log;
    member->index = members.size();
    member->device = device;
    const std::string& name = member->config.run;
    of_run(name, [&] { member->open(model, text, open_model); });
    members.push_back(std::move(member));
  }
  for (const auto& m : members) {
    if (several()) {
      require_row_groups(*m->adapters, about_run(m->config.run, ""));
    }
    TrainerRun run;
    run.adapters = m->adapters.get();
    run.optimizer = registry.optimizer(m->config.optimizer);
    run.optimizer_options = m->config.optimizer_options;
    run.options = m->config.trainer;
    run.train = m->train->bounds();
    if (m->eval) run.eval = m->eval->bounds();
    runs.push_back(std::move(run));
  }
  trainer = std::make_unique<Trainer>(device, std::move(model), std::move(runs), log);
  std::vector<const RunConfig*> settled;
  for (const auto& m : members) {
    m->trainer = trainer.get();
    settled.push_back(&m->config);
  }
  config = config_of_all(settled);
  output = config["output"]["dir"].get<std::string>();
}

Run::~Run() = default;

const Cost& Run::cost() const {
  return state_->trainer->cost();
}
const Json& Run::config() const {
  return state_->config;
}
void Run::cancel() {
  state_->cancelled = true;
}

Json Run::plan_json() const {
  Json json = core::plan_json(cost());
  for (const auto& m : state_->members) {
    if (!state_->named()) break;
    std::int64_t trainable = 0;
    for (const Parameter& p : m->adapters->parameters()) trainable += p.trained() ? p.count() : 0;
    json["runs"].push_back({{"name", m->config.run},
                            {"steps", m->train->steps()},
                            {"micro_steps", m->train->micro_steps()},
                            {"trainable_parameters", trainable}});
  }
  return json;
}

std::string Run::plan_text() const {
  std::vector<std::pair<std::string, std::int64_t>> steps;
  for (const auto& m : state_->members) steps.emplace_back(m->config.run, m->train->steps());
  return core::plan_text(cost(), state_->members[0]->config.trainer.memory_limit, steps);
}

void Run::State::start() {
  if (started) return;
  trainer->start(std::max(1, static_cast<int>(device.info().threads)));
  for (const auto& m : members) m->load_adapters();
  if (options.profile) {
    machine = measure_machine(device, trainer->dtype());
    trainer->set_timer([this](const Node& node, double seconds, const NodeCost& cost) {
      profile.add(node, seconds, cost);
    });
  }
  started = true;
}

/// A step in the profile; the first is not counted.
void Run::State::count(double seconds, std::int64_t tokens) {
  if (!options.profile) return;
  profile.step(seconds, tokens);
  const bool more =
      std::any_of(members.begin(), members.end(), [](const auto& m) { return !m->done(); });
  if (!warm && more) profile.clear();
  warm = true;
}

/// One pass through the base with a micro-step of each run that is not done; by run, what its step
/// came to if that was the last of it.
std::vector<std::optional<StepMetrics>> Run::State::pass() {
  const Clock::time_point begin = Clock::now();
  std::vector<Share> shares(members.size());
  std::int64_t rows = 0;
  for (const auto& m : members) {
    if (m->done()) continue;
    shares[m->index] = m->next();
    rows += shares[m->index].batch.rows();
  }
  trainer->pass(shares);
  std::vector<std::optional<StepMetrics>> ended(members.size());
  for (const auto& m : members) {
    if (shares[m->index].batch.rows() == 0) continue;
    try {
      ended[m->index] = m->after_pass();
    } catch (const Error& e) {
      if (e.status() != GRAFT_E_DIVERGED) throw;
      m->diverged(e);
    }
    if (!several() && ended[0]) count(ended[0]->seconds, ended[0]->tokens);
  }
  if (several()) count(std::chrono::duration<double>(Clock::now() - begin).count(), rows);
  return ended;
}

Member& Run::State::only(const char* what) {
  if (several()) {
    throw Error(GRAFT_E_STATE, cat(what, " is for one run, and \"runs\" lists ", members.size(),
                                   ". Use graft_session_run."));
  }
  return *members[0];
}

std::int64_t Run::steps_done() const {
  return state_->only("the number of steps").step;
}

std::optional<StepMetrics> Run::step() {
  State& s = *state_;
  const Member& m = s.only("a single step");
  s.start();
  while (!m.done()) {
    if (const auto ended = s.pass()[0]) return ended;
  }
  return std::nullopt;
}

std::optional<EvalMetrics> Run::evaluate() {
  State& s = *state_;
  Member& m = s.only("a single evaluation");
  if (!m.eval) return std::nullopt;
  s.start();
  return m.evaluate();
}

void Run::save(const fs::path& folder) {
  state_->start();
  for (const auto& m : state_->members) m->save_adapters(folder / m->config.run);
}

/// Each run goes on from its own newest checkpoint; one that has none yet begins anew.
void Run::State::resume(const EventSink& sink) {
  bool any = false;
  for (const auto& m : members) any = m->resume(sink) || any;
  if (any) return;
  throw Error(GRAFT_E_NOT_FOUND, cat("--resume: '", output.string(),
                                     "' holds no whole checkpoint to go on from. Begin anew ",
                                     holds_a_run(output) ? "with --force." : "without --resume."));
}

bool Run::run(const EventSink& sink) {
  State& s = *state_;
  if (s.ran) {
    throw Error(
        GRAFT_E_STATE,
        "the run has been made already. Open it anew; with {\"resume\": true} it goes on where it "
        "has ended.");
  }
  std::optional<OutputFolder> all;
  if (s.named()) all.emplace(s.output, s.options.resume, s.options.force);
  for (const auto& m : s.members) m->open_folder(s.options.resume, s.options.force);
  s.ran = true;
  s.start();
  if (s.trainer->dtype() == GRAFT_F64) {
    sink({{"event", "note"}, {"text", "f64: no checkpoints are written"}});
  }
  if (s.options.resume) s.resume(sink);
  if (all) {
    all->clear();
    write_file_atomically(s.output / "run.json", s.config.dump(2) + "\n");
    write_file_atomically(s.output / "plan.txt", plan_text());
  }
  const double since = seconds_since_process_start();
  for (const auto& m : s.members) m->begin(sink, plan_text(), since);
  for (const auto& m : s.members) {
    if (m->done()) m->finish(true, sink);
  }
  const auto going = [&] {
    return std::any_of(s.members.begin(), s.members.end(),
                       [](const auto& m) { return !m->done(); });
  };
  while (going()) {
    const auto ended = s.pass();
    bool any = false;
    for (const auto& m : s.members) {
      if (!ended[m->index]) continue;
      any = true;
      m->report(*ended[m->index], s.cancelled, sink);
      if (m->done()) m->finish(true, sink);
    }
    if (!s.cancelled || !any || !going()) continue;
    for (const auto& m : s.members) {
      if (!m->done()) m->finish(false, sink);
    }
    return false;
  }
  if (s.options.profile) {
    Json event = s.profile.json(s.machine);
    event["event"] = "profile";
    sink(event);
  }
  return true;
}

}  // namespace graft::core
