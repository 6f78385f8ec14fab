#include "core/train/member.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/adapt/between_steps.hpp"
#include "core/adapt/library_files.hpp"
#include "core/adapt/side.hpp"
#include "core/adapt/storage.hpp"
#include "core/base/config_error.hpp"
#include "core/tensor/dtype.hpp"
#include "core/train/default_targets.hpp"
#include "core/train/input_pass.hpp"
#include "core/train/session_parts.hpp"

namespace graft::core {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

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

void Member::open(const Model& model, const Text& text, const std::function<Model()>& another) {
  RunConfig& c = config;
  origin = {c.model.string(), model.checkpoint().fingerprint(), text.template_hash(),
            origin_of(c.quantization), model_facts(model.config())};
  for (MethodEntry& entry : c.methods) {
    tokenize_options(entry, text);
    settle_targets(entry, std::string(model.config().family->type));
  }
  note_settled(c);
  c.data.threads = std::max(1, static_cast<int>(device.info().threads));
  const Data data = open_data(c.data, text.encoder(), log);
  train.emplace(data.train, c.batches);
  if (data.eval) {
    BatchOptions once = c.batches;
    once.steps = 0;
    once.epochs = 1;
    once.accumulate = 1;
    once.shuffle = false;
    eval.emplace(*data.eval, once);
  }
  c.trainer.schedule.total = train->steps();
  c.trainer.micro_steps = train->steps() * c.batches.accumulate + (eval ? eval->micro_steps() : 0);
  if (c.warmup_ratio > 0) {
    c.trainer.schedule.warmup =
        static_cast<std::int64_t>(std::ceil(c.warmup_ratio * static_cast<double>(train->steps())));
  }
  const auto attach = [&] {
    return std::make_unique<AdapterSet>(
        decoder_sites(model.config()), c.methods, base_tensors(model.config()), log,
        input_pass(device, another, *train, c.trainer.memory_limit, log));
  };
  const bool written = std::all_of(c.load.begin(), c.load.end(),
                                   [](const fs::path& folder) { return folder.empty(); });
  adapters = written ? of_the_config(attach) : attach();
  // A folder that does not fit is refused here, where nothing is allocated yet.
  for (std::size_t e = 0; e < c.methods.size(); ++e) {
    if (c.load[e].empty()) continue;
    loaded_.push_back(load_adapter(c.load[e], adapters->parameters(), e, adapters->entries()[e]));
  }
  warn_of_native_files();
  warn_of_no_decay();
  require_losses(*adapters, c.quantization);
}

void Member::load_adapters() {
  for (const fs::path& folder : config.load) {
    if (!folder.empty()) compare_origin(folder, origin, log);
  }
  for (const auto& values : std::exchange(loaded_, {})) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!values[i].empty()) trainer->set(index, i, values[i]);
    }
  }
  trainer->refresh(index);
}

Share Member::next() {
  const Step& span = train->step(step);
  if (micro_step_ == 0) {
    step_begun_ = Clock::now();
    trainer->begin(index);
  }
  return {train->micro_step(span.first + micro_step_++), span.supervised,
          static_cast<std::size_t>(span.last - span.first)};
}

std::optional<StepMetrics> Member::after_pass() {
  const Step& span = train->step(step);
  if (micro_step_ < span.last - span.first) return std::nullopt;
  StepMetrics m = trainer->finish(index, step + 1);
  micro_step_ = 0;
  ++step;
  tokens += m.tokens;
  m.seconds = seconds_since(step_begun_);
  return m;
}

EvalMetrics Member::evaluate() {
  EvalMetrics m;
  double sum = 0;
  for (std::int64_t i = 0; i < eval->micro_steps(); ++i) {
    trainer->evaluate(index, eval->micro_step(i), sum, m.tokens);
  }
  m.loss = sum / static_cast<double>(std::max<std::int64_t>(1, m.tokens));
  return m;
}

/// The values of a parameter as files have them.
std::vector<float> Member::stored(std::size_t parameter) const {
  const Parameter& p = adapters->parameters()[parameter];
  std::vector<float> values = trainer->get(index, parameter);
  if (p.transposed) return transposed(values, p.dims[0]);
  return values;  // moved: a head's are a hundred megabytes
}

void Member::save_adapters(const fs::path& folder) {
  const auto& parameters = adapters->parameters();
  for (std::size_t e = 0; e < adapters->entries().size(); ++e) {
    const FileChanges changes = file_changes(
        *adapters, e, {step, [this](std::size_t i) { return trainer->get(index, i); }, {}, {}});
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
      for (std::size_t i = 0; i < parameters.size(); ++i) values.push_back(trainer->get(index, i));
      tensors.push_back(computed_tensor(device, *adapters, e, name, values));
    }
    const fs::path target = adapters->entries().size() == 1 ? folder : folder / entry.name;
    save_adapter(target, entry, tensors, origin, attached(e));
  }
}

/// Names of the sites of an entry.
std::vector<std::string> Member::attached(std::size_t entry) const {
  std::vector<std::string> names;
  for (const std::size_t site : adapters->attached(entry)) {
    names.push_back(adapters->sites()[site].name);
  }
  return names;
}

void Member::warn_of_native_files() const {
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

void Member::warn_of_no_decay() const {
  const auto& parameters = adapters->parameters();
  for (const std::string& part : config.trainer.no_decay) {
    const bool any = std::any_of(parameters.begin(), parameters.end(), [&](const Parameter& p) {
      return p.name.find(part) != std::string::npos;
    });
    if (any || parameters.empty()) continue;
    log.warning("run", cat("optimizer.no_decay: no trained tensor has '", part,
                           "' in its name; the ", "first is '", parameters[0].name, "'."));
  }
}

Json Member::progress() {
  if (data_digest_.empty()) data_digest_ = train->dataset().digest();
  Json json = {{"tokens", tokens},
               {"config", config.json},
               {"data", data_digest_},
               {"base", origin.base_fingerprint}};
  if (best_loss) {
    json["best_loss"] = *best_loss;
    json["best_step"] = best_step;
  }
  return json;
}

/// The same data and base model as when the run began: else going on would not be the same run.
void Member::require_same_material(const Json& before) {
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

void Member::restore(const Snapshot& snapshot) {
  require_same_run(snapshot.progress.at("config"), config.json);
  require_same_material(snapshot.progress);
  trainer->set_state(index, snapshot.state, [&] { snapshot.file.forget(); });
  step = snapshot.step;
  tokens = snapshot.progress.at("tokens");
  if (snapshot.progress.contains("best_loss")) {
    best_loss = snapshot.progress["best_loss"].get<double>();
    best_step = snapshot.progress["best_step"];
  }
}

void Member::open_folder(bool resume, bool force) {
  // With --force the old run goes, which may hold what is loaded: first all that can fail.
  folder_ = std::make_unique<OutputFolder>(config.output, resume, force);
}

void Member::tell(Json event, const EventSink& sink) const {
  if (!config.run.empty()) event["run"] = config.run;
  sink(event);
}

void Member::say(const std::string& text, const EventSink& sink) const {
  tell({{"event", "note"}, {"text", text}}, sink);
}

void Member::emit(const Json& line, const EventSink& sink) {
  folder_->append(line);
  tell(line, sink);
}

bool Member::resume(const EventSink& sink) {
  std::vector<fs::path> skipped;
  const std::optional<Snapshot> snapshot = folder_->newest(skipped);
  for (const fs::path& p : skipped) {
    say(cat("passed over the broken checkpoint ", p.string()), sink);
  }
  if (!snapshot) return false;
  restore(*snapshot);
  resumed_ = true;
  saved_ = step;  // a whole checkpoint is not replaced by its like
  say(cat("resumed from step ", step, " in ", folder_->newest_path()->string()), sink);
  return true;
}

void Member::begin(const EventSink& sink, const std::string& plan, double since_process_start) {
  folder_->clear();
  write_file_atomically(folder_->path() / "run.json", config.json.dump(2) + "\n");
  write_file_atomically(folder_->path() / "plan.txt", plan);
  folder_->open_metrics(step);
  begun_ = Clock::now();
  emit({{"event", "start"},
        {"seconds_since_process_start", since_process_start},
        {"plan_bytes", trainer->cost().total()},
        {"steps", train->steps()}},
       sink);
  if (!resumed_) evaluate_now(sink);
}

void Member::checkpoint(const EventSink& sink) {
  if (trainer->dtype() == GRAFT_F64) return;  // its states are not f32; see the note
  if (saved_ == step) return;
  saved_ = step;
  const fs::path path = folder_->save(step, progress(), trainer->state(index), config.keep);
  tell({{"event", "checkpoint"}, {"step", step}, {"path", path.string()}}, sink);
}

void Member::evaluate_now(const EventSink& sink) {
  if (!eval || evaluated_ == step) return;
  evaluated_ = step;
  const EvalMetrics m = evaluate();
  emit({{"step", step}, {"eval_loss", m.loss}, {"eval_tokens", m.tokens}}, sink);
  if (config.best && step > 0 && (!best_loss || m.loss < *best_loss)) {
    best_loss = m.loss;
    best_step = step;
    save_adapters(folder_->path());
  }
}

void Member::diverged(const Error& error) const {
  const auto last = folder_->newest_path();
  throw Error(GRAFT_E_DIVERGED,
              cat("training stopped: ", config.run.empty() ? "" : cat("run '", config.run, "': "),
                  error.what(),
                  last ? " The last good checkpoint is '" + last->string() + "'."
                       : " There is no checkpoint yet (output.save_every).",
                  step == 0 ? " No step was made yet: weights, or an option that scales them, are "
                              "too large for the dtype, or not numbers."
                            : " A lower optimizer.lr or a train.clip may help."));
}

void Member::report(const StepMetrics& m, bool stop, const EventSink& sink) {
  if (config.stop_loss > 0 && m.loss > config.stop_loss) {
    diverged(Error(GRAFT_E_DIVERGED, cat("the loss of step ", step, " is ", m.loss,
                                         ", above train.stop_loss ", config.stop_loss, ".")));
  }
  emit({{"step", step},
        {"loss", m.loss},
        {"grad_norm", m.grad_norm},
        {"lr", m.lr},
        {"tokens", m.tokens},
        {"tokens_per_s", static_cast<double>(m.tokens) / m.seconds},
        {"seconds", m.seconds}},
       sink);
  if (config.eval_every > 0 && step % config.eval_every == 0) evaluate_now(sink);
  if (config.save_every > 0 && step % config.save_every == 0 && !done() && !stop) checkpoint(sink);
}

void Member::finish(bool whole, const EventSink& sink) {
  if (whole) evaluate_now(sink);
  if (!config.best || !best_loss) save_adapters(folder_->path());
  checkpoint(sink);
  if (whole && config.best && best_loss) {
    say(cat("the adapter is that of step ", best_step, ", with the lowest eval loss"), sink);
  }
  emit({{"event", "end"},
        {"steps", step},
        {"tokens", tokens},
        {"seconds", seconds_since(begun_)},
        {"peak_resident_bytes", peak_resident_bytes()},
        {"recordings", trainer->recordings()}},
       sink);
}

}  // namespace graft::core
