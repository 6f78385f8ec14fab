#include "core/infer/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "core/base/error.hpp"
#include "core/base/philox.hpp"

namespace graft::core {
namespace {

struct Candidate {
  std::int32_t id;
  double weight;  // logit, then probability
};

void require(bool good, const char* name, double value, const char* range) {
  if (!good) throw Error(GRAFT_E_INVALID, cat(name, " is ", value, "; it must be ", range, "."));
}

/// CTRL's penalty (Keskar et al. 2019, section 4.1), once for each token seen.
void penalize(std::vector<float>& logits, double penalty, std::span<const std::int32_t> seen) {
  for (const std::int32_t id : std::set<std::int32_t>(seen.begin(), seen.end())) {
    float& l = logits.at(static_cast<std::size_t>(id));
    l = static_cast<float>(l < 0 ? l * penalty : l / penalty);
  }
}

}  // namespace

void check_sampling(const Sampling& s) {
  require(s.temperature > 0, "temperature", s.temperature, "above 0 (or use greedy)");
  require(s.top_p > 0 && s.top_p <= 1, "top_p", s.top_p, "above 0 and at most 1");
  require(s.min_p >= 0 && s.min_p <= 1, "min_p", s.min_p, "between 0 and 1");
  require(s.repetition_penalty > 0, "repetition_penalty", s.repetition_penalty, "above 0");
  require(s.top_k >= 0, "top_k", static_cast<double>(s.top_k), "0 (all) or more");
}

std::int32_t choose_token(std::vector<float>& logits, const Sampling& s,
                          std::span<const std::int32_t> seen, std::uint64_t position) {
  if (s.repetition_penalty != 1) penalize(logits, s.repetition_penalty, seen);
  const auto best = std::max_element(logits.begin(), logits.end());
  if (s.greedy) return static_cast<std::int32_t>(best - logits.begin());

  std::vector<Candidate> all(logits.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = {static_cast<std::int32_t>(i), logits[i] / s.temperature};
  }
  const auto higher = [](const Candidate& a, const Candidate& b) {
    return a.weight > b.weight || (a.weight == b.weight && a.id < b.id);
  };
  if (s.top_k > 0 && static_cast<std::size_t>(s.top_k) < all.size()) {
    std::partial_sort(all.begin(), all.begin() + s.top_k, all.end(), higher);
    all.resize(static_cast<std::size_t>(s.top_k));
  } else {
    std::sort(all.begin(), all.end(), higher);
  }
  const double most = all[0].weight;
  double sum = 0;
  for (Candidate& c : all) sum += c.weight = std::exp(c.weight - most);
  // top-p keeps the smallest set of the likeliest whose probability reaches p; min-p, those with at
  // least min_p of the likeliest's probability.
  std::size_t kept = 0;
  double reached = 0;
  while (kept < all.size() && (kept == 0 || reached < s.top_p * sum) &&
         all[kept].weight >= s.min_p) {
    reached += all[kept++].weight;
  }
  kept = std::max<std::size_t>(kept, 1);
  double draw = random_unit(random_bits(s.seed, 0x67656e, position)) * reached;
  for (std::size_t i = 0; i + 1 < kept; ++i) {
    draw -= all[i].weight;
    if (draw < 0) return all[i].id;
  }
  return all[kept - 1].id;
}

std::vector<std::pair<std::int32_t, float>> most_likely(std::span<const float> logits,
                                                        std::int64_t k) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float l : logits) sum += std::exp(l - most);
  const double lse = most + std::log(sum);
  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto n = std::min<std::size_t>(static_cast<std::size_t>(k), ids.size());
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n), ids.end(),
                    [&](std::int32_t a, std::int32_t b) {
                      const float la = logits[static_cast<std::size_t>(a)];
                      const float lb = logits[static_cast<std::size_t>(b)];
                      return la > lb || (la == lb && a < b);
                    });
  std::vector<std::pair<std::int32_t, float>> result;
  for (std::size_t i = 0; i < n; ++i) {
    result.emplace_back(ids[i], static_cast<float>(logits[static_cast<std::size_t>(ids[i])] - lse));
  }
  return result;
}

}  // namespace graft::core
