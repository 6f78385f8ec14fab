#include "core/data/batches.hpp"

#include <algorithm>
#include <limits>

namespace graft::core {
namespace {

// Sixteen bytes each are kept; far beyond any run that ends.
constexpr std::int64_t kMostMicroSteps = 50'000'000;

void one_of(std::int64_t a, const char* a_name, std::int64_t b, const char* b_name) {
  for (const auto& [value, name] : {std::pair(a, a_name), std::pair(b, b_name)}) {
    if (value < 0) {
      throw Error(GRAFT_E_CONFIG, cat("train.", name, " is ", value, ", but must be at least 1."));
    }
  }
  if ((a > 0) != (b > 0)) return;
  throw Error(GRAFT_E_CONFIG, cat("train.", a_name, " and train.", b_name, " are ",
                                  a > 0 ? "both" : "neither", " there: give one of the two."));
}

void append(Batch& batch, const Example& example) {
  const std::size_t size = example.ids.size();
  batch.ids.insert(batch.ids.end(), example.ids.begin(), example.ids.end());
  for (std::size_t i = 0; i < size; ++i) {
    batch.positions.push_back(static_cast<std::int32_t>(i));
    const std::int32_t label = i + 1 < size ? example.labels[i + 1] : kNoLabel;
    if (label != kNoLabel) {
      batch.supervised_rows.push_back(static_cast<std::int32_t>(batch.labels.size()));
    }
    batch.labels.push_back(label);
  }
  batch.cu_seqlens.push_back(static_cast<std::int32_t>(batch.ids.size()));
}

}  // namespace

Batches::Batches(Dataset dataset, const BatchOptions& options)
    : dataset_(std::move(dataset)),
      options_(options),
      sampler_(dataset_, options.shuffle, options.seed) {
  one_of(options.batch_size, "batch_size", options.batch_tokens, "batch_tokens");
  one_of(options.steps, "steps", options.epochs, "epochs");
  if (options.accumulate < 1) {
    throw Error(GRAFT_E_CONFIG,
                cat("train.accumulate is ", options.accumulate, ", but must be at least 1."));
  }
  constexpr std::int64_t no_end = std::numeric_limits<std::int64_t>::max();
  std::int64_t at = 0;
  if (options.steps > 0) {
    if (options.steps > kMostMicroSteps / options.accumulate) {
      throw Error(GRAFT_E_CONFIG, cat("train.steps is ", options.steps, " of ", options.accumulate,
                                      " micro-steps, but a run has at most ", kMostMicroSteps,
                                      " micro-steps. Use fewer steps."));
    }
    at = lay_out(0, no_end, options.steps * options.accumulate);
  }
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    at = lay_out(at, at + sampler_.epoch_size(), no_end);
    if (static_cast<std::int64_t>(starts_.size()) > kMostMicroSteps) {
      throw Error(GRAFT_E_CONFIG, cat("train.epochs is ", options.epochs, ", but a run has at ",
                                      "most ", kMostMicroSteps, " micro-steps. Use fewer epochs."));
    }
  }
  starts_.push_back(at);
}

std::int64_t Batches::lay_out(std::int64_t at, std::int64_t end, std::int64_t most) {
  for (std::int64_t count = 0; count < most && at < end; ++count) {
    const auto number = static_cast<std::int64_t>(starts_.size());
    if (count % options_.accumulate == 0) steps_.push_back({number, number, 0, 0});
    starts_.push_back(at);
    Bounds found;
    for (; at < end; ++at) {
      const std::int64_t example = sampler_.at(at);
      const std::int64_t length = dataset_.length(example);
      const bool full = options_.batch_size > 0
                            ? found.sequences == options_.batch_size
                            : found.sequences > 0 && found.rows + length > options_.batch_tokens;
      if (full) break;
      found.rows += length;
      found.sequences += 1;
      found.supervised += dataset_.supervised(example);
      found.longest = std::max(found.longest, length);
    }
    if (found.rows > std::numeric_limits<std::int32_t>::max()) {
      throw Error(GRAFT_E_CONFIG, cat("a micro-step would have ", found.rows, " tokens, which is ",
                                      "too many. Use a smaller batch_size or max_length."));
    }
    Step& step = steps_.back();
    step.last = number + 1;
    step.rows += found.rows;
    step.supervised += found.supervised;
    bounds_.rows = std::max(bounds_.rows, found.rows);
    bounds_.sequences = std::max(bounds_.sequences, found.sequences);
    bounds_.supervised = std::max(bounds_.supervised, found.supervised);
    bounds_.longest = std::max(bounds_.longest, found.longest);
  }
  return at;
}

double Batches::epochs_before(std::int64_t k) const {
  const std::int64_t micro = k < steps() ? step(k).first : micro_steps();
  return static_cast<double>(starts_[static_cast<std::size_t>(micro)]) /
         static_cast<double>(sampler_.epoch_size());
}

Batch Batches::micro_step(std::int64_t k) {
  Batch batch;
  batch.cu_seqlens.push_back(0);
  const auto place = static_cast<std::size_t>(k);
  for (std::int64_t draw = starts_[place]; draw < starts_[place + 1]; ++draw) {
    const std::int64_t example = sampler_.at(draw);
    append(batch, dataset_.example(example));
    batch.example_ids.push_back(example);
    batch.draws.push_back(draw);
  }
  batch.supervised = static_cast<std::int64_t>(batch.supervised_rows.size());
  return batch;
}

Batches in_order(Dataset dataset, std::int64_t batch_size, std::int64_t batch_tokens) {
  BatchOptions options;
  options.batch_size = batch_size;
  options.batch_tokens = batch_tokens;
  options.epochs = 1;
  options.shuffle = false;
  return Batches(std::move(dataset), options);
}

}  // namespace graft::core
