// From logits to the next token.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/json.hpp"

namespace graft::core {

/// How tokens are chosen; the fields and their order of application are those of transformers:
/// repetition penalty, temperature, top-k, top-p, min-p, then a draw.
struct Sampling {
  bool greedy = false;
  double temperature = 1, top_p = 1, min_p = 0, repetition_penalty = 1;
  std::int64_t top_k = 0;  ///< 0: all
  std::uint64_t seed = 0;
};

/// Throws GRAFT_E_INVALID for a value out of range.
void check_sampling(const Sampling& s);

/// The next token after `seen`. `position` numbers the draws of one generation, so that a seed gives
/// the same text again. `logits` is overwritten.
std::int32_t choose_token(std::vector<float>& logits, const Sampling& s,
                          std::span<const std::int32_t> seen, std::uint64_t position);

/// The k most likely tokens, best first, with natural log-probabilities.
std::vector<std::pair<std::int32_t, float>> most_likely(std::span<const float> logits,
                                                        std::int64_t k);

}  // namespace graft::core
