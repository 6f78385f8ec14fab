// A training run: from RUN.json to the output folder.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/base/log.hpp"
#include "core/plugin/registry.hpp"
#include "core/train/member.hpp"
#include "core/train/run_config.hpp"
#include "core/train/trainer.hpp"

namespace graft::core {

struct RunOptions {
  bool resume = false;   ///< go on from the newest whole checkpoint
  bool force = false;    ///< overwrite what another run left in the output folder
  bool profile = false;  ///< run() ends with an event "profile": see Profile::json
};

/// One run, or several that share each pass through one base.
class Run {
 public:
  /// `configs`: of read_run_configs(). Checks, opens model and data, plans. Allocates nothing that the plan counts and writes nothing.
  Run(std::vector<RunConfig> configs, Registry& registry, const Log& log, RunOptions options);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  const Cost& cost() const;
  Json plan_json() const;
  std::string plan_text() const;
  const Json& config() const;

  /// Trains to the end. false: stopped by cancel(), everything saved.
  bool run(const EventSink& sink);
  /// One step without an output folder; nullopt at the end of the run. This, steps_done() and
  /// evaluate() are for one run: GRAFT_E_STATE where there are several.
  std::optional<StepMetrics> step();
  std::int64_t steps_done() const;
  /// nullopt where there is no eval data.
  std::optional<EvalMetrics> evaluate();
  /// Of several, each into a folder of its name there.
  void save(const fs::path& folder);
  /// From any thread or a signal handler.
  void cancel();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace graft::core
