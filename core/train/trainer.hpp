// Steps of training and evaluation: one recording each, run with whatever batches come.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/adapt/attach.hpp"
#include "core/data/batches.hpp"
#include "core/model/model.hpp"
#include "core/optim/optimizer.hpp"
#include "core/optim/schedule.hpp"
#include "core/train/flat_state.hpp"

namespace graft::core {

enum class RecomputeChoice : std::uint8_t { kNothing, kLean, kBlock, kAuto };

struct TrainerOptions {
  std::uint64_t seed = 0;
  double lr = 0, clip = 0;
  Schedule schedule;
  RecomputeChoice recompute = RecomputeChoice::kAuto;
  std::uint64_t memory_limit = 0;     ///< bytes, 0: none
  std::int64_t micro_steps = 0;       ///< of the whole run, for what it will look up; 0: unknown
  std::vector<std::string> no_decay;  ///< parts of parameter names without weight decay
  /// Above 0: optimizer states lie in a file in this folder, and a step uses so many bytes of them
  /// at once.
  std::uint64_t resident_states = 0;
  fs::path page_folder;
};

/// One of the runs that share each pass through a base.
struct TrainerRun {
  AdapterSet* adapters = nullptr;
  graft_optimizer_api optimizer{};
  Json optimizer_options;
  TrainerOptions options;  ///< recompute and memory_limit: those of the first run hold for all
  Bounds train, eval;      ///< the largest batches that will come; eval.rows 0: no evaluation
};

/// What a run brings to a pass: rows, or none.
struct Share {
  Batch batch;
  std::int64_t supervised = 0;  ///< labels in all micro-steps of the run's step
  std::size_t micro_steps = 1;  ///< of that step
};

/// What a run costs, known before it allocates anything.
struct Cost {
  std::uint64_t process = 0, weights = 0, prepared = 0, activations = 0, gradients = 0,
                optimizer = 0, workspace = 0;
  std::uint64_t paged = 0;  ///< optimizer states in a file, those resident at once included
  std::uint64_t total() const {
    return process + weights + prepared + activations + gradients + optimizer + workspace;
  }
  std::vector<Holder> holders;  ///< largest first
  std::int64_t trainable = 0;   ///< numbers that are trained
  double flops_per_token = 0;
  std::int64_t forward_ops = 0, backward_ops = 0;
  Bounds capacity;
  Recompute recompute = Recompute::kNothing;
  std::vector<std::string> decomposed;
};

struct StepMetrics {
  double loss = 0, grad_norm = 0, lr = 0, seconds = 0;
  std::int64_t tokens = 0, supervised = 0;
};

struct EvalMetrics {
  double loss = 0;
  std::int64_t tokens = 0;  ///< supervised
};

/// Plans when made, allocates and loads in start(), then steps. One thread.
///
/// Several runs train independently of one another: each has rows of its own in a pass, which go
/// through the frozen base together, and an optimizer of its own.
class Trainer {
 public:
  /// `model` is opened, not loaded. At most kGroups runs; what their methods change must be kept to
  /// rows where there are several (require_row_groups). Throws GRAFT_E_NO_MEMORY when the plan
  /// exceeds the memory limit, naming the three largest holders and what to change.
  Trainer(Device device, Model model, std::vector<TrainerRun> runs, const Log& log);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  const Cost& cost() const;
  /// Allocates, loads the weights with `threads` threads, sets parameters to their initial values.
  void start(int threads);

  /// Begins a step of a run: its gradients are 0.
  void begin(std::size_t run);
  /// One micro-step of each run that brings rows; there is a share for each run.
  void pass(const std::vector<Share>& shares);
  /// The optimizer's part of a run's step; `index` counts its steps from 1. Throws GRAFT_E_DIVERGED
  /// when the loss is not a number.
  StepMetrics finish(std::size_t run, std::int64_t index);
  /// Adds up one evaluation batch of a run: sum of losses and number of labels.
  void evaluate(std::size_t run, const Batch& batch, double& loss_sum, std::int64_t& tokens);

  /// Strength of a method entry, 1 at first; entries count over all runs.
  void strength(std::size_t entry, double value);
  /// Master values of a run's parameter, and back (then refresh() once).
  std::vector<float> get(std::size_t run, std::size_t parameter) const;
  void set(std::size_t run, std::size_t parameter, const std::vector<float>& values);
  void refresh(std::size_t run);
  /// Everything that a step of the run changes: master values and optimizer states, flat.
  /// Valid until its next step.
  std::vector<FlatState> state(std::size_t run) const;
  /// `read` is called when the bytes up to where it stands are done with.
  void set_state(std::size_t run, const std::vector<StoredState>& state,
                 const std::function<void()>& read = {});

  std::int64_t recordings() const;
  /// Is told of every kernel call of training and optimizer steps from then on.
  void set_timer(const CallTimer& timer);
  std::uint32_t dtype() const;  ///< that the model computes in

  struct State;

 private:
  std::unique_ptr<State> state_;
};

/// Sets the inputs of a decoder program from a batch; returns its extents. Inputs that the recording
/// does not have are left out.
Bindings set_batch(Program& program, const Batch& batch, const VirtualTokens& more,
                   const DecoderConfig& config);

/// Keys of the rows of a batch for dropout, two numbers each; each example has `prompt` rows more.
std::vector<std::int32_t> row_keys(const Batch& batch, std::int64_t prompt);
/// Batches put end to end.
Batch joined(const std::vector<const Batch*>& batches);

/// Resident bytes of this process now.
std::uint64_t resident_bytes();
/// The largest they have been.
std::uint64_t peak_resident_bytes();

}  // namespace graft::core
