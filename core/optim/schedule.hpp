// Learning-rate schedules: the formulas of transformers' get_*_schedule.
#pragma once
#include <cstdint>
#include <string>

namespace graft::core {

struct Schedule {
  std::string kind = "constant";  ///< "constant", "linear", "cosine"
  std::int64_t warmup = 0, total = 0;

  /// The factor on lr at the k-th step, counted from 0. During warm-up k / warmup; then constant 1,
  /// linear (total - k) / (total - warmup), cosine (1 + cos(pi p)) / 2 with
  /// p = (k - warmup) / (total - warmup).
  double factor(std::int64_t k) const;
};

}  // namespace graft::core
