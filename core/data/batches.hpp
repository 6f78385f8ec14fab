// Micro-steps: whole examples end to end, and how many of them a run will have.
#pragma once
#include <cstdint>
#include <vector>

#include "core/data/dataset.hpp"
#include "core/data/sampler.hpp"

namespace graft::core {

struct Batch {
  std::vector<std::int32_t> ids, positions;  // [rows]; positions start at 0 in each example
  /// [rows] what is to be predicted after a row, or kNoLabel: the labels of the example moved up by
  /// one. The last row of an example predicts nothing.
  std::vector<std::int32_t> labels;
  std::vector<std::int32_t> cu_seqlens;       // [sequences + 1] where examples begin, and the end
  std::vector<std::int64_t> example_ids;      // [sequences] places in the dataset
  std::vector<std::int64_t> draws;            // [sequences] places in the run's stream of draws
  std::vector<std::int32_t> supervised_rows;  // rows with a label, ascending
  std::int64_t supervised = 0;                // how many

  std::int64_t rows() const { return static_cast<std::int64_t>(ids.size()); }
  std::int64_t sequences() const { return static_cast<std::int64_t>(example_ids.size()); }
};

struct BatchOptions {
  std::int64_t batch_size = 0, batch_tokens = 0;  // one of the two
  std::int64_t accumulate = 1;                    // micro-steps in a step
  std::int64_t steps = 0, epochs = 0;             // one of the two
  bool shuffle = true;
  std::uint64_t seed = 0;
};

/// The largest values over the micro-steps of a run; each may come from another one.
struct Bounds {
  std::int64_t rows = 0, sequences = 0, supervised = 0, longest = 0;
};

/// One optimizer step: micro-steps [first, last) and what is in them.
struct Step {
  std::int64_t first = 0, last = 0;
  std::int64_t rows = 0, supervised = 0;
};

/// The micro-steps of a whole run, laid out from the index alone when it is made.
///
/// A micro-step holds batch_size examples, or as many of the next ones as fit in batch_tokens, and
/// at least one. With `epochs`, an epoch is whole: its last micro-step holds what is left, and its
/// last step the micro-steps that are left (an epoch has ceil(micro-steps / accumulate) steps), as
/// in transformers. With `steps`, the examples come round and round, and every step has
/// `accumulate` micro-steps, which may reach over the end of an epoch.
///
/// Used by one thread at a time.
class Batches {
 public:
  Batches(Dataset dataset, const BatchOptions& options);

  std::int64_t steps() const { return static_cast<std::int64_t>(steps_.size()); }
  const Step& step(std::int64_t k) const { return steps_[static_cast<std::size_t>(k)]; }
  std::int64_t micro_steps() const { return static_cast<std::int64_t>(starts_.size()) - 1; }
  Bounds bounds() const { return bounds_; }
  /// Epochs done before step k: 1.5 in the middle of the second.
  double epochs_before(std::int64_t k) const;

  /// Reads and tokenizes.
  Batch micro_step(std::int64_t k);

  const Dataset& dataset() const { return dataset_; }

 private:
  /// Lays out micro-steps from draw `at` on, `most` of them or up to draw `end`; returns the next
  /// draw. `accumulate` of them make a step.
  std::int64_t lay_out(std::int64_t at, std::int64_t end, std::int64_t most);

  Dataset dataset_;
  BatchOptions options_;
  Sampler sampler_;
  std::vector<std::int64_t> starts_;  // first draw of each micro-step, and the end
  std::vector<Step> steps_;
  Bounds bounds_;
};

/// All examples once, in file order: for evaluation.
Batches in_order(Dataset dataset, std::int64_t batch_size, std::int64_t batch_tokens);

}  // namespace graft::core
