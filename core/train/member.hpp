// One of the runs that share a base: its data, its adapters, how far it is, its output folder.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/adapt/adapter_files.hpp"
#include "core/train/output_folder.hpp"
#include "core/train/run_config.hpp"
#include "core/train/session_parts.hpp"
#include "core/train/trainer.hpp"

namespace graft::core {

/// Events as JSON: the lines of metrics.jsonl, notes and checkpoints.
using EventSink = std::function<void(const Json&)>;

struct Member {
  RunConfig config;
  Log log;
  std::size_t index = 0;  ///< among the runs of the trainer
  Device device;
  Trainer* trainer = nullptr;
  std::optional<Batches> train, eval;
  std::unique_ptr<AdapterSet> adapters;
  Origin origin;
  std::int64_t step = 0, tokens = 0;
  std::optional<double> best_loss;
  std::int64_t best_step = 0;

  /// Opens data and attaches methods. `text` and `model` are those of all runs, `another` opens the
  /// model once more.
  void open(const Model& model, const Text& text, const std::function<Model()>& another);
  /// Initial values out of adapter folders.
  void load_adapters();

  bool done() const { return step >= train->steps(); }
  /// The next micro-step; begins a step where the last one has ended.
  Share next();
  /// Behind the pass of next(): the optimizer's part if it was the step's last micro-step.
  std::optional<StepMetrics> after_pass();
  EvalMetrics evaluate();
  void save_adapters(const fs::path& folder);

  // -- a run with an output folder
  /// Throws where the folder holds another run.
  void open_folder(bool resume, bool force);
  /// Goes on from the newest whole checkpoint. false: there is none.
  bool resume(const EventSink& sink);
  /// Writes what stands at the beginning of a run.
  void begin(const EventSink& sink, const std::string& plan, double since_process_start);
  /// Metrics, evaluation and checkpoint of a step that has ended.
  void report(const StepMetrics& m, bool stop, const EventSink& sink);
  void finish(bool whole, const EventSink& sink);
  /// Throws what a diverged run is told, with its last checkpoint.
  [[noreturn]] void diverged(const Error& error) const;

 private:
  using Clock = std::chrono::steady_clock;

  void emit(const Json& line, const EventSink& sink);
  void tell(Json event, const EventSink& sink) const;
  void say(const std::string& text, const EventSink& sink) const;
  void checkpoint(const EventSink& sink);
  void evaluate_now(const EventSink& sink);
  std::vector<std::string> attached(std::size_t entry) const;
  void warn_of_native_files() const;
  void warn_of_no_decay() const;
  std::vector<float> stored(std::size_t parameter) const;
  Json progress();
  void require_same_material(const Json& before);
  void restore(const Snapshot& snapshot);

  std::vector<std::vector<std::vector<float>>>
      loaded_;               // of each folder, until the trainer has them
  std::string data_digest_;  // taken when the first checkpoint is written or read
  std::unique_ptr<OutputFolder> folder_;
  std::int64_t micro_step_ = 0;  // of the step that is going on
  std::int64_t saved_ = -1, evaluated_ = -1;
  bool resumed_ = false;
  Clock::time_point begun_, step_begun_;
};

}  // namespace graft::core
