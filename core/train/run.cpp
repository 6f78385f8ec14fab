#include "core/train/run.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>

#include "core/adapt/adapter_files.hpp"
#include "core/adapt/between_steps.hpp"
#include "core/adapt/library_files.hpp"
#include "core/adapt/side.hpp"
#include "core/adapt/storage.hpp"
#include "core/base/config_error.hpp"
#include "core/base/size.hpp"
#include "core/plugin/host_config.hpp"
#include "core/tensor/dtype.hpp"
#include "core/text/chat_template.hpp"
#include "core/text/tokenizer.hpp"
#include "core/train/default_targets.hpp"
#include "core/train/input_pass.hpp"
#include "core/train/output_folder.hpp"
#include "core/train/plan_report.hpp"
#include "core/train/profile.hpp"
#include "core/train/session_parts.hpp"

namespace graft::core {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

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
  RunConfig config;
  Log log;
  RunOptions options;
  HostTable host;
  HostConfig backend_config;
  Device device;
  std::optional<Text> text;
  std::optional<Batches> train, eval;
  std::unique_ptr<AdapterSet> adapters;
  std::unique_ptr<Trainer> trainer;
  Origin origin;
  std::string data_digest;  ///< taken when the first checkpoint is written or read
  bool started = false, warm = false;
  std::int64_t step = 0, tokens = 0;
  std::optional<double> best_loss;
  std::int64_t best_step = 0;
  std::atomic<bool> cancelled{false};
  Profile profile;
  Json machine;  ///< what the profile is compared with

  State(RunConfig c, const Log& l, RunOptions o)
      : config(std::move(c)), log(l), options(o), host(l), backend_config(config.backend_options) {}

  void start();
  StepMetrics one_step();
  void save_adapters(const fs::path& folder);
  std::vector<std::string> attached(std::size_t entry) const;
  void warn_of_native_files() const;
  std::vector<float> stored(std::size_t parameter) const;
  Json progress();
  void require_same_material(const Json& before);
  void restore(const Snapshot& snapshot);
};

namespace {

/// The resolved configuration holds what was not given.
void note_settled(RunConfig& c) {
  std::size_t entry = 0;
  for (Json& json : c.json["methods"]) {
    if (json.contains("load")) continue;  // and what is fused, was loaded
    while (!c.load.at(entry).empty()) ++entry;
    const MethodEntry& settled = c.methods[entry++];
    if (settled.host.contains("targets")) json["targets"] = settled.host["targets"];
    for (const auto& [option, value] : settled.options.items()) {
      if (json.contains(option) && json[option].is_null()) json[option] = value;
    }
  }
}

}  // namespace

Run::Run(RunConfig config, Registry& registry, const Log& log, RunOptions options)
    : state_(std::make_unique<State>(std::move(config), log, options)) {
  State& s = *state_;
  RunConfig& c = s.config;
  s.device = Device::open(registry.backend(c.backend), &s.host, &s.backend_config);
  const std::uint32_t dtype = choose_dtype(c.dtype, s.device);
  const auto open = [&] { return Model::open(c.model, s.device, dtype, c.quantization); };
  Model model = open();
  warn_of_expanded(model, log);
  s.text.emplace(Text::open(c.model, c.chat_template, model.config().vocab, log));
  s.origin = {c.model.string(), model.checkpoint().fingerprint(), s.text->template_hash(),
              origin_of(c.quantization), model_facts(model.config())};
  for (MethodEntry& entry : c.methods) {
    tokenize_options(entry, *s.text);
    settle_targets(entry, std::string(model.config().family->type));
  }
  note_settled(c);
  c.data.threads = std::max(1, static_cast<int>(s.device.info().threads));
  const Data data = open_data(c.data, s.text->encoder(), log);
  s.train.emplace(data.train, c.batches);
  if (data.eval) {
    BatchOptions once = c.batches;
    once.steps = 0;
    once.epochs = 1;
    once.accumulate = 1;
    once.shuffle = false;
    s.eval.emplace(*data.eval, once);
  }
  c.trainer.schedule.total = s.train->steps();
  if (c.warmup_ratio > 0) {
    c.trainer.schedule.warmup = static_cast<std::int64_t>(
        std::ceil(c.warmup_ratio * static_cast<double>(s.train->steps())));
  }
  const auto attach = [&] {
    return std::make_unique<AdapterSet>(decoder_sites(model.config()), c.methods,
                                        base_tensors(model.config()), log,
                                        input_pass(s.device, open, *s.train, log));
  };
  const bool written = std::all_of(c.load.begin(), c.load.end(),
                                   [](const fs::path& folder) { return folder.empty(); });
  s.adapters = written ? of_the_config(attach) : attach();
  s.warn_of_native_files();
  require_losses(*s.adapters, c.quantization);
  const Bounds eval_bounds = s.eval ? s.eval->bounds() : Bounds{};
  s.trainer = std::make_unique<Trainer>(s.device, std::move(model), *s.adapters,
                                        registry.optimizer(c.optimizer), c.optimizer_options, log,
                                        c.trainer, s.train->bounds(), eval_bounds);
}

Run::~Run() = default;

const Cost& Run::cost() const {
  return state_->trainer->cost();
}
const Json& Run::config() const {
  return state_->config.json;
}
std::int64_t Run::steps_done() const {
  return state_->step;
}
void Run::cancel() {
  state_->cancelled = true;
}
Json Run::plan_json() const {
  return core::plan_json(cost());
}
std::string Run::plan_text() const {
  return core::plan_text(cost(), state_->config.trainer.memory_limit, state_->train->steps());
}

void Run::State::start() {
  if (started) return;
  trainer->start(std::max(1, static_cast<int>(device.info().threads)));
  for (std::size_t e = 0; e < config.methods.size(); ++e) {
    if (config.load[e].empty()) continue;
    compare_origin(config.load[e], origin, log);
    const auto values =
        load_adapter(config.load[e], adapters->parameters(), e, adapters->entries()[e]);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!values[i].empty()) trainer->set(i, values[i]);
    }
  }
  trainer->refresh();
  if (options.profile) {
    machine = measure_machine(device, trainer->dtype());
    trainer->set_timer([this](const Node& node, double seconds, const NodeCost& cost) {
      profile.add(node, seconds, cost);
    });
  }
  started = true;
}

StepMetrics Run::State::one_step() {
  const Clock::time_point begin = Clock::now();
  const Step& span = train->step(step);
  StepMetrics m = trainer->step(
      step + 1, span.supervised, static_cast<std::size_t>(span.last - span.first),
      [&](std::size_t i) { return train->micro_step(span.first + static_cast<std::int64_t>(i)); });
  ++step;
  tokens += m.tokens;
  m.seconds = seconds_since(begin);
  if (options.profile) {
    const bool first = !warm;
    warm = true;
    profile.step(m.seconds, m.tokens);
    if (first && step < train->steps()) profile.clear();
  }
  return m;
}

std::optional<StepMetrics> Run::step() {
  State& s = *state_;
  s.start();
  if (s.step >= s.train->steps()) return std::nullopt;
  return s.one_step();
}

std::optional<EvalMetrics> Run::evaluate() {
  State& s = *state_;
  if (!s.eval) return std::nullopt;
  s.start();
  EvalMetrics m;
  double sum = 0;
  for (std::int64_t i = 0; i < s.eval->micro_steps(); ++i) {
    s.trainer->evaluate(s.eval->micro_step(i), sum, m.tokens);
  }
  m.loss = sum / static_cast<double>(std::max<std::int64_t>(1, m.tokens));
  return m;
}

void Run::save(const fs::path& folder) {
  state_->start();
  state_->save_adapters(folder);
}

/// The values of a parameter as files have them.
std::vector<float> Run::State::stored(std::size_t parameter) const {
  const Parameter& p = adapters->parameters()[parameter];
  std::vector<float> values = trainer->get(parameter);
  if (p.transposed) return transposed(values, p.dims[0]);
  return values;  // moved: a head's are a hundred megabytes
}

void Run::State::save_adapters(const fs::path& folder) {
  const auto& parameters = adapters->parameters();
  for (std::size_t e = 0; e < adapters->entries().size(); ++e) {
    const FileChanges changes = file_changes(
        *adapters, e, {step, [this](std::size_t i) { return trainer->get(i); }, {}, {}});
    std::vector<StoredTensor> tensors;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Parameter& p = parameters[i];
      if (p.entry != e || (p.flags & GRAFT_PARAM_NOSAVE) != 0) continue;
      const bool beside = (p.flags & GRAFT_PARAM_BESIDE) != 0;
      const auto other = changes.tensors.find(i);
      StoredTensor t{p.name, p.stored_dims(), [this, i] { return stored(i); }, p.key, beside};
      if (other != changes.tensors.end()) {
        t.dims = other->second.dims;
        t.values = [&changed = other->second] { return changed.values; };
      }
      tensors.push_back(std::move(t));
    }
    MethodEntry entry = adapters->entries()[e];
    entry.options = changes.options;
    entry.host = changes.host;
    const auto storage = storage_of(entry.api);
    const auto held = [&](const std::string& key) {
      return std::any_of(tensors.begin(), tensors.end(),
                         [&](const StoredTensor& t) { return t.key == key; });
    };
    for (const Json& name : storage ? storage->computed : Json::array()) {
      const auto& wanted = name.get_ref<const std::string&>();
      if (wanted.starts_with("..") || held(wanted)) continue;  // or it is a parameter itself here
      ParameterValues values;
      for (std::size_t i = 0; i < parameters.size(); ++i) values.push_back(trainer->get(i));
      tensors.push_back(computed_tensor(device, *adapters, e, name, values));
    }
    const fs::path target = adapters->entries().size() == 1 ? folder : folder / entry.name;
    save_adapter(target, entry, tensors, origin, attached(e));
  }
}

/// Names of the sites of an entry.
std::vector<std::string> Run::State::attached(std::size_t entry) const {
  std::vector<std::string> names;
  for (const std::size_t site : adapters->attached(entry)) {
    names.push_back(adapters->sites()[site].name);
  }
  return names;
}

void Run::State::warn_of_native_files() const {
  for (std::size_t e = 0; e < adapters->entries().size(); ++e) {
    const MethodEntry& entry = adapters->entries()[e];
    const auto storage = storage_of(entry.api);
    if (!storage || storage->of_peft()) continue;
    const std::string why = library_refusal(entry, origin.facts, attached(e));
    if (why.empty()) continue;
    log.warning("run",
                cat("'", entry.name, "' is saved for graft alone. The adapters library could ",
                    "not load it: ", why, "."));
  }
}

Json Run::State::progress() {
  if (data_digest.empty()) data_digest = train->dataset().digest();
  Json json = {{"tokens", tokens},
               {"config", config.json},
               {"data", data_digest},
               {"base", origin.base_fingerprint}};
  if (best_loss) {
    json["best_loss"] = *best_loss;
    json["best_step"] = best_step;
  }
  return json;
}

/// The same data and base model as when the run began: else going on would not be the same run.
void Run::State::require_same_material(const Json& before) {
  const Json now = progress();
  for (const char* what : {"data", "base"}) {
    if (!before.contains(what) || before[what] == now[what]) continue;
    const bool data = std::string_view(what) == "data";
    throw Error(
        GRAFT_E_INVALID,
        cat("--resume: ", data ? "the training data" : "the base model", " (",
            data ? config.json["data"]["train"].dump() : config.json["model"]["path"].dump(),
            ") has changed since the run began. Bring it back, or start anew."));
  }
}

void Run::State::restore(const Snapshot& snapshot) {
  require_same_run(snapshot.progress.at("config"), config.json);
  require_same_material(snapshot.progress);
  trainer->set_state(snapshot.state, [&] { snapshot.file.forget(); });
  step = snapshot.step;
  tokens = snapshot.progress.at("tokens");
  if (snapshot.progress.contains("best_loss")) {
    best_loss = snapshot.progress["best_loss"].get<double>();
    best_step = snapshot.progress["best_step"];
  }
}

bool Run::run(const EventSink& sink) {
  State& s = *state_;
  const RunConfig& c = s.config;
  // With --force the old run goes, which may hold what is loaded: first all that can fail.
  OutputFolder folder(c.output, s.options.resume, s.options.force);
  s.start();
  folder.clear();
  std::vector<fs::path> skipped;
  const auto say = [&](const std::string& text) { sink({{"event", "note"}, {"text", text}}); };
  bool resumed = false;
  if (s.trainer->dtype() == GRAFT_F64) say("f64: no checkpoints are written");
  if (s.options.resume) {
    const std::optional<Snapshot> snapshot = folder.newest(skipped);
    for (const fs::path& p : skipped) say(cat("passed over the broken checkpoint ", p.string()));
    if (!snapshot) {
      throw Error(GRAFT_E_NOT_FOUND, cat("--resume: '", c.output.string(),
                                         "' holds no whole checkpoint. Start without --resume."));
    }
    s.restore(*snapshot);
    resumed = true;
    say(cat("resumed from step ", s.step, " in ", folder.newest_path()->string()));
  }
  write_file_atomically(folder.path() / "run.json", c.json.dump(2) + "\n");
  write_file_atomically(folder.path() / "plan.txt", plan_text());
  folder.open_metrics(s.step);
  const auto emit = [&](const Json& line) {
    folder.append(line);
    sink(line);
  };
  const Clock::time_point begin = Clock::now();
  emit({{"event", "start"},
        {"seconds_since_process_start", seconds_since_process_start()},
        {"plan_bytes", cost().total()},
        {"steps", s.train->steps()}});
  std::int64_t saved = resumed ? s.step : -1;  // a whole checkpoint is not replaced by its like
  const auto checkpoint = [&] {
    if (s.trainer->dtype() == GRAFT_F64) return;  // its states are not f32; see the note
    if (saved == s.step) return;
    saved = s.step;
    const fs::path path = folder.save(s.step, s.progress(), s.trainer->state(), c.keep);
    sink({{"event", "checkpoint"}, {"step", s.step}, {"path", path.string()}});
  };
  std::int64_t evaluated = -1;
  const auto evaluate_now = [&] {
    if (!s.eval || evaluated == s.step) return;
    evaluated = s.step;
    const EvalMetrics m = *evaluate();
    emit({{"step", s.step}, {"eval_loss", m.loss}, {"eval_tokens", m.tokens}});
    if (c.best && s.step > 0 && (!s.best_loss || m.loss < *s.best_loss)) {
      s.best_loss = m.loss;
      s.best_step = s.step;
      s.save_adapters(folder.path());
    }
  };
  const auto finish = [&](bool done) {
    if (!c.best || !s.best_loss) s.save_adapters(folder.path());
    checkpoint();
    if (done && c.best && s.best_loss) {
      say(cat("the adapter is that of step ", s.best_step, ", with the lowest eval loss"));
    }
    emit({{"event", "end"},
          {"steps", s.step},
          {"tokens", s.tokens},
          {"seconds", seconds_since(begin)},
          {"peak_resident_bytes", peak_resident_bytes()},
          {"recordings", s.trainer->recordings()}});
    if (s.options.profile) {
      Json event = s.profile.json(s.machine);
      event["event"] = "profile";
      sink(event);
    }
  };
  if (!resumed) evaluate_now();
  while (s.step < s.train->steps()) {
    StepMetrics m;
    try {
      m = s.one_step();
      if (c.stop_loss > 0 && m.loss > c.stop_loss) {
        throw Error(GRAFT_E_DIVERGED, cat("the loss of step ", s.step, " is ", m.loss,
                                          ", above train.stop_loss ", c.stop_loss, "."));
      }
    } catch (const Error& e) {
      if (e.status() != GRAFT_E_DIVERGED) throw;
      const auto last = folder.newest_path();
      throw Error(GRAFT_E_DIVERGED,
                  cat("training stopped: ", e.what(),
                      last ? " The last good checkpoint is '" + last->string() + "'."
                           : " There is no checkpoint yet (output.save_every).",
                      " A lower optimizer.lr or a train.clip may help."));
    }
    emit({{"step", s.step},
          {"loss", m.loss},
          {"grad_norm", m.grad_norm},
          {"lr", m.lr},
          {"tokens", m.tokens},
          {"tokens_per_s", static_cast<double>(m.tokens) / m.seconds},
          {"seconds", m.seconds}});
    const bool last = s.step == s.train->steps();
    if (c.eval_every > 0 && s.step % c.eval_every == 0) evaluate_now();
    if (s.cancelled && !last) {
      finish(false);
      return false;
    }
    if (c.save_every > 0 && s.step % c.save_every == 0 && !last) checkpoint();
  }
  evaluate_now();
  finish(true);
  return true;
}

}  // namespace graft::core
