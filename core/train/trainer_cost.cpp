// What a step costs, and the limit that it is held to.
#include "core/base/error.hpp"
#include "core/base/size.hpp"
#include "core/train/trainer_state.hpp"

namespace graft::core {
namespace {

/// What the process will take beyond what is planned: kernels compiled at run time, thread stacks,
/// batches. They grow with the number of shapes and sites, but not for ever: measured on models of 0.1 to
/// 500 MB.
std::uint64_t runtime_bytes(std::uint64_t planned) {
  constexpr std::uint64_t mib = std::uint64_t{1} << 20;
  return std::min(3 * mib / 2 + planned / 16, 24 * mib);
}

}  // namespace

Bounds bounds_of(const std::vector<Bounds>& runs, bool at_once) {
  Bounds all;
  const auto take = [&](std::int64_t& to, std::int64_t n) {
    to = at_once ? to + n : std::max(to, n);
  };
  for (const Bounds& b : runs) {
    take(all.rows, b.rows);
    take(all.sequences, b.sequences);
    take(all.supervised, b.supervised);
    all.longest = std::max(all.longest, b.longest);
  }
  return all;
}

/// Bytes of a mapped embedding that no token of the runs has looked up: at each the system maps what
/// it holds of the pages around.
std::uint64_t Trainer::State::never_read() const {
  constexpr std::uint64_t around = std::uint64_t{1} << 16;
  const std::uint64_t all = model.looked_up_bytes();
  const std::vector<Bounds> bounds = this->bounds(true);
  std::uint64_t lookups = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::int64_t micro_steps = parts[i].run.options.micro_steps;
    if (micro_steps == 0) return 0;
    lookups += static_cast<std::uint64_t>(micro_steps * bounds[i].rows);
  }
  return lookups < all / around ? all - lookups * around : 0;
}

void Trainer::State::add_up(const Plan& plan) {
  const std::uint64_t wide = dtype_size(statistics_dtype(model.dtype()));
  const bool copies = model.dtype() != statistics_dtype(model.dtype());
  const Bounds bounds = bounds_of(this->bounds(true), true);
  cost = {};
  cost.weights = model.mapped_bytes() + model.expanded_bytes() - never_read();
  cost.activations = std::max(plan.arena_bytes, scratch->arena_bytes()) + plan.input_bytes;
  cost.workspace = std::max(plan.workspace_bytes, scratch->workspace_bytes());
  for (const Part& part : parts) {
    const auto total = static_cast<std::uint64_t>(part.layout.total);
    const bool paged = part.run.options.resident_states > 0;
    cost.gradients += static_cast<std::uint64_t>(part.layout.trained) * wide;
    cost.paged += paged ? part.optimizer->state_bytes() : 0;
    cost.optimizer += total * wide + (copies ? total * dtype_size(model.dtype()) : 0) +
                      (paged ? part.optimizer->part_bytes() : part.optimizer->state_bytes());
    for (const Parameter& p : part.parameters()) {
      if (p.trained()) cost.trainable += p.count();
    }
  }
  cost.process = resident_bytes() + runtime_bytes(cost.total());
  cost.flops_per_token = plan.flops / static_cast<double>(std::max<std::int64_t>(1, bounds.rows));
  cost.forward_ops = plan.forward_ops;
  cost.backward_ops = plan.backward_ops;
  cost.capacity = bounds;
  cost.recompute = plan.options.recompute;
  cost.decomposed = plan.decomposed;
  cost.holders = plan.holders;
  cost.holders.push_back({"weights of the base model", cost.weights});
  cost.holders.push_back({"process", cost.process});
  cost.holders.push_back({"optimizer states and master values", cost.optimizer});
  cost.holders.push_back({"gradients", cost.gradients});
  cost.holders.push_back({"workspace of kernels", cost.workspace});
  std::stable_sort(cost.holders.begin(), cost.holders.end(),
                   [](const Holder& a, const Holder& b) { return a.bytes > b.bytes; });
}

void Trainer::State::enforce_limit() const {
  const TrainerOptions& o = options();
  if (o.memory_limit == 0 || cost.total() <= o.memory_limit) return;
  std::string holders;
  for (std::size_t i = 0; i < 3 && i < cost.holders.size(); ++i) {
    holders +=
        cat(i > 0 ? ", " : "", cost.holders[i].name, " (", size_text(cost.holders[i].bytes), ")");
  }
  const char* advice =
      o.recompute == RecomputeChoice::kAuto || o.recompute == RecomputeChoice::kBlock
          ? "Lower data.max_length, train.batch_size or train.batch_tokens"
          : "Set train.recompute to \"block\" or \"auto\", lower train.batch_size "
            "or train.batch_tokens";
  throw Error(GRAFT_E_NO_MEMORY,
              cat("train.memory_limit is ", size_text(o.memory_limit), ", but this run needs ",
                  size_text(cost.total()), ". Largest: ", holders, ". ", advice,
                  ", or raise train.memory_limit."));
}

}  // namespace graft::core
