#include "core/optim/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.hpp"

namespace graft::core {

double Schedule::factor(std::int64_t k) const {
  if (k < warmup)
    return static_cast<double>(k) / static_cast<double>(std::max<std::int64_t>(1, warmup));
  if (kind == "constant") return 1;
  const double length = static_cast<double>(std::max<std::int64_t>(1, total - warmup));
  const double done = static_cast<double>(k - warmup) / length;
  if (kind == "linear") return std::max(0.0, 1 - done);
  if (kind == "cosine") return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * done)));
  throw Error(GRAFT_E_INVALID, cat("schedule '", kind, "' is not constant, linear or cosine."));
}

}  // namespace graft::core
