// A run's cost for programs and for people.
#pragma once
#include "core/base/json.hpp"
#include "core/train/trainer.hpp"

namespace graft::core {

Json plan_json(const Cost& cost);
/// `steps`: of each run, by its name (empty: there is one).
std::string plan_text(const Cost& cost, std::uint64_t memory_limit,
                      const std::vector<std::pair<std::string, std::int64_t>>& steps);

}  // namespace graft::core
