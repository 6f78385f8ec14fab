// What the parts of the trainer share.
#pragma once
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor/dtype.hpp"
#include "core/train/trainer.hpp"

namespace graft::core {

inline std::uint32_t statistics_dtype(std::uint32_t dtype) {
  return dtype == GRAFT_F64 ? std::uint32_t{GRAFT_F64} : std::uint32_t{GRAFT_F32};
}

/// What runs bring to a pass, all of them at once or one at a time.
Bounds bounds_of(const std::vector<Bounds>& runs, bool at_once);

struct Trainer::State {
  /// A run with what is planned and allocated for it alone.
  struct Part {
    TrainerRun run;
    RecordingPlace place;
    ParameterLayout layout;
    std::unique_ptr<Optimizer> optimizer;
    ParameterMemory memory;
    ValueId terms = kNone;        ///< what its methods add to the loss of a step
    double loss_sum = 0;          ///< of its step so far
    std::int64_t supervised = 1;  ///< labels in the whole step
    StepMetrics step;

    const std::vector<Parameter>& parameters() const { return run.adapters->parameters(); }
    std::vector<std::pair<StateRange, std::byte*>> changed() const;
    bool paged(const void* at) const { return memory.pages && at != memory.master_at(0); }
  };

  Device device;
  Model model;
  std::vector<Part> parts;
  std::shared_ptr<Scratch> scratch = std::make_shared<Scratch>();
  std::unique_ptr<Program> train, eval;
  ValueId train_losses = kNone, eval_losses = kNone;  ///< by run
  Cost cost;
  std::int64_t recordings = 0;  ///< of training steps, that run

  State(Device d, Model m) : device(std::move(d)), model(std::move(m)) {}

  struct Recorded {
    Plan plan;
    ValueId losses = kNone;
    std::vector<ValueId> terms;
  };
  bool groups() const { return parts.size() > 1; }
  const TrainerOptions& options() const { return parts[0].run.options; }
  std::vector<Bounds> bounds(bool training) const;
  void add(TrainerRun run, const Log& log);
  Recorded record(bool training, Recompute recompute);
  ValueId losses_by_run(Recorder& r, ValueId losses) const;
  std::unique_ptr<Program> program(Plan plan);
  std::uint64_t never_read() const;
  void add_up(const Plan& train_plan);
  void enforce_limit() const;
  std::vector<double> read(const Program& p, ValueId id) const;
  std::vector<float> values(const Part& part, std::size_t parameter, const void* from) const;
  std::vector<double> run(Program& p, ValueId losses, const std::vector<const Batch*>& batches);
  void set_numbers(Program& p, const std::string& input, const std::vector<double>& numbers) const;
};

}  // namespace graft::core
