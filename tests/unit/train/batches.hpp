// Micro-steps that need no files.
#pragma once
#include <vector>

#include "core/train/trainer.hpp"

namespace graft::core::test {

/// Examples as a micro-step; the i-th has the place draws[i] in the run. Every second row has a
/// label.
inline Batch batch_of(const std::vector<std::int64_t>& draws) {
  Batch b;
  b.cu_seqlens = {0};
  for (const std::int64_t draw : draws) {
    const auto length = static_cast<std::int32_t>(2 + draw * 3 % 5);
    for (std::int32_t i = 0; i < length; ++i) {
      const auto token = [&](std::int32_t k) {
        return static_cast<std::int32_t>((draw * 7 + k * 5 + 3) % 13);
      };
      const bool labelled = i + 1 < length && (i + draw) % 2 == 0;
      if (labelled) b.supervised_rows.push_back(static_cast<std::int32_t>(b.ids.size()));
      b.ids.push_back(token(i));
      b.positions.push_back(i);
      b.labels.push_back(labelled ? token(i + 1) : kNoLabel);
    }
    b.cu_seqlens.push_back(static_cast<std::int32_t>(b.ids.size()));
    b.example_ids.push_back(draw);
    b.draws.push_back(draw);
  }
  b.supervised = static_cast<std::int64_t>(b.supervised_rows.size());
  return b;
}

/// One step of a trainer with one run.
inline StepMetrics step_of(Trainer& trainer, std::int64_t index, const std::vector<Batch>& micro) {
  std::int64_t supervised = 0;
  for (const Batch& b : micro) supervised += b.supervised;
  trainer.begin(0);
  for (const Batch& b : micro) trainer.pass({{b, supervised, micro.size()}});
  return trainer.finish(0, index);
}

}  // namespace graft::core::test
