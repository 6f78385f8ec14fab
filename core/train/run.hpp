// A training run: from RUN.json to the output folder.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/base/log.hpp"
#include "core/plugin/registry.hpp"
#include "core/train/run_config.hpp"
#include "core/train/trainer.hpp"

namespace graft::core {

struct RunOptions {
  bool resume = false;   ///< go on from the newest whole checkpoint
  bool force = false;    ///< overwrite what another run left in the output folder
  bool profile = false;  ///< run() ends with an event "profile": see Profile::json
};

/// Events as JSON: the lines of metrics.jsonl, notes and checkpoints.
using EventSink = std::function<void(const Json&)>;

class Run {
 public:
  /// Checks, opens model and data, plans. Allocates nothing that the plan counts and writes nothing.
  Run(RunConfig config, Registry& registry, const Log& log, RunOptions options);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  const Cost& cost() const;
  Json plan_json() const;
  std::string plan_text() const;
  const Json& config() const;

  /// Trains to the end. false: stopped by cancel(), everything saved.
  bool run(const EventSink& sink);
  /// One step without an output folder; nullopt at the end of the run.
  std::optional<StepMetrics> step();
  std::int64_t steps_done() const;
  /// nullopt where there is no eval data.
  std::optional<EvalMetrics> evaluate();
  void save(const fs::path& folder);
  /// From any thread or a signal handler.
  void cancel();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace graft::core
