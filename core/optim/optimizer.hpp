// An optimizer plugin over the flat memory of the parameters: gradient norm, clipping, update.
#pragma once
#include <memory>
#include <vector>

#include "core/adapt/parameters.hpp"
#include "core/base/json.hpp"
#include "core/base/log.hpp"
#include "core/graph/program.hpp"

namespace graft::core {

/// What one step of the optimizer did.
struct StepResult {
  double grad_norm = 0;  ///< over all trained parameters, before clipping
};

class Optimizer {
 public:
  /// Creates the plugin's instance and plans its programs. `memory` is bound later, so that nothing
  /// is allocated before the whole plan is known. `api` is copied. `resident`: a step goes in parts
  /// of so many bytes of states, behind each of which the memory's pages are released; 0: at once.
  Optimizer(const graft_optimizer_api& api, Json options, const Log& log, const Device& device,
            const std::vector<Parameter>& parameters, const ParameterLayout& layout,
            std::uint32_t compute_dtype, std::shared_ptr<Scratch> scratch,
            std::uint64_t resident = 0);
  ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// The ranges of states that an update uses.
  std::vector<StateRange> states() const;
  std::uint64_t state_bytes() const;
  /// The states that one part of a step uses, of the largest part.
  std::uint64_t part_bytes() const;
  /// `memory` has gradients and these states and outlives the optimizer.
  void bind(const ParameterMemory& memory);

  void zero_gradients();
  /// Norm, clipping (clip 0: none), the update number `index` (the first is 1) with learning rate
  /// `lr`. A norm that is not finite leaves the parameters as they are.
  StepResult step(std::int64_t index, double lr, double clip);
  /// Brings the compute copies up to date with the master values.
  void refresh();
  void set_timer(const CallTimer& timer);

  struct State;

 private:
  std::unique_ptr<State> state_;
};

/// Casts master values to the compute copies; nothing to do where they are the same memory.
class Refresh {
 public:
  Refresh(const Device& device, const ParameterLayout& layout, std::uint32_t compute_dtype,
          std::shared_ptr<Scratch> scratch);
  void run(const ParameterMemory& memory);
  void set_timer(const CallTimer& timer);

 private:
  std::unique_ptr<Program> program_;
};

}  // namespace graft::core
