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
  std::vector<std::string> no_decay;  ///< parts of parameter names without weight decay
  /// Above 0: optimizer states lie in a file in this folder, and a step uses so many bytes of them
  /// at once.
  std::uint64_t resident_states = 0;
  fs::path page_folder;
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
class Trainer {
 public:
  /// `model` is opened, not loaded. `train` and `eval` are the largest batches that will come;
  /// eval.rows 0: no evaluation. Throws GRAFT_E_NO_MEMORY when the plan exceeds the memory limit,
  /// naming the three largest holders and what to change.
  Trainer(Device device, Model model, AdapterSet& adapters, const graft_optimizer_api& optimizer,
          Json optimizer_options, const Log& log, const TrainerOptions& options,
          const Bounds& train, const Bounds& eval);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  const Cost& cost() const;
  /// Allocates, loads the weights with `threads` threads, sets parameters to their initial values.
  void start(int threads);

  /// One optimizer step over its micro-steps; `supervised` is the number of labels in all of them.
  /// `index` counts steps from 1. Throws GRAFT_E_DIVERGED when the loss is not a number.
  StepMetrics step(std::int64_t index, std::int64_t supervised, std::size_t micro_steps,
                   const std::function<Batch(std::size_t)>& micro_step);
  /// Adds up one evaluation batch: sum of losses and number of labels.
  void evaluate(const Batch& batch, double& loss_sum, std::int64_t& tokens);

  /// Strength of a method entry, 1 at first.
  void strength(std::size_t entry, double value);
  /// Master values of a parameter, and back (then refresh() once).
  std::vector<float> get(std::size_t parameter) const;
  void set(std::size_t parameter, const std::vector<float>& values);
  void refresh();
  /// Everything that a step changes: master values and optimizer states, flat.
  /// Valid until the next step.
  std::vector<FlatState> state() const;
  /// `read` is called when the bytes up to where it stands are done with.
  void set_state(const std::vector<StoredState>& state, const std::function<void()>& read = {});

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

/// Resident bytes of this process now.
std::uint64_t resident_bytes();
/// The largest they have been.
std::uint64_t peak_resident_bytes();

}  // namespace graft::core
