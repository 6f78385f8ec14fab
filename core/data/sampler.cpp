#include "core/data/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/philox.hpp"
#include "core/data/streams.hpp"

namespace graft::core {
namespace {

// Fisher and Yates; the exchange at place i uses random number i of the stream.
template <class T>
void shuffle_in_place(std::vector<T>& items, std::uint64_t seed, std::uint64_t stream) {
  for (std::size_t i = items.size(); i-- > 1;) {
    std::swap(items[i], items[random_below(i + 1, random_bits(seed, stream, i))]);
  }
}

// Shares of `total` in proportion to the weights, by largest remainder; ties go to the earlier.
std::vector<std::int64_t> shares(std::int64_t total, const std::vector<double>& weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::int64_t> result;
  std::vector<double> remainders;
  std::int64_t left = total;
  for (const double weight : weights) {
    const double quota = static_cast<double>(total) * (weight / sum);
    result.push_back(std::min(left, static_cast<std::int64_t>(quota)));
    remainders.push_back(quota - std::floor(quota));
    left -= result.back();
  }
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return remainders[a] > remainders[b]; });
  for (std::size_t i = 0; left > 0; i = (i + 1) % order.size(), --left) ++result[order[i]];
  return result;
}

}  // namespace

Sampler::Sampler(const Dataset& dataset, bool shuffle, std::uint64_t seed)
    : shuffle_(shuffle), seed_(seed), epoch_size_(dataset.size()) {
  std::vector<double> weights;
  for (std::size_t i = 0; i < dataset.sources().size(); ++i) {
    const Source& source = dataset.sources()[i];
    weighted_ = weighted_ || source.weight.has_value();
    if (source.end == source.begin) continue;  // every line of it skipped, or held out
    parts_.push_back({source.begin, source.end - source.begin, source.end - source.begin, i});
    weights.push_back(source.weight.value_or(1.0));
  }
  if (!weighted_ && !parts_.empty()) {
    parts_ = {{0, epoch_size_, epoch_size_, 0}};  // together they are one list of examples
  } else if (weighted_) {
    const std::vector<std::int64_t> draws = shares(epoch_size_, weights);
    for (std::size_t i = 0; i < parts_.size(); ++i) parts_[i].draws = draws[i];
  }
}

std::vector<std::uint32_t> Sampler::turns(std::int64_t epoch) const {
  std::vector<std::uint32_t> result;
  result.reserve(static_cast<std::size_t>(epoch_size_));
  std::vector<std::int64_t> taken(parts_.size(), 0);
  for (std::int64_t t = 1; t <= epoch_size_; ++t) {
    // The part that is furthest behind its even pace draws·t/size. All are behind by 1 together, so
    // the one chosen is behind, and one whose draws are used up never is.
    std::size_t best = 0;
    double most = -1e300;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const double behind = static_cast<double>(parts_[i].draws) * static_cast<double>(t) /
                                static_cast<double>(epoch_size_) -
                            static_cast<double>(taken[i]);
      if (behind > most) {
        most = behind;
        best = i;
      }
    }
    ++taken[best];
    result.push_back(static_cast<std::uint32_t>(best));
  }
  if (shuffle_) {
    shuffle_in_place(result, seed_, stream_id(Stream::kMix, 0, static_cast<std::uint64_t>(epoch)));
  }
  return result;
}

void Sampler::order_epoch(std::int64_t epoch) {
  std::vector<std::vector<std::int64_t>> drawn(parts_.size());
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    std::vector<std::int64_t> round;
    std::int64_t round_number = -1;
    for (std::int64_t k = 0; k < part.draws; ++k) {
      const std::int64_t draw = epoch * part.draws + k;
      if (draw / part.size != round_number) {
        round_number = draw / part.size;
        round.resize(static_cast<std::size_t>(part.size));
        std::iota(round.begin(), round.end(), part.begin);
        if (shuffle_) {
          shuffle_in_place(
              round, seed_,
              stream_id(Stream::kOrder, part.number, static_cast<std::uint64_t>(round_number)));
        }
      }
      drawn[i].push_back(round[static_cast<std::size_t>(draw % part.size)]);
    }
  }
  epoch_ = epoch;
  if (parts_.size() == 1) {
    order_ = std::move(drawn[0]);
    return;
  }
  order_.clear();
  std::vector<std::size_t> taken(parts_.size(), 0);
  for (const std::uint32_t part : turns(epoch)) order_.push_back(drawn[part][taken[part]++]);
}

std::int64_t Sampler::at(std::int64_t draw) {
  const std::int64_t epoch = draw / epoch_size_;
  if (epoch != epoch_) order_epoch(epoch);
  return order_[static_cast<std::size_t>(draw % epoch_size_)];
}

}  // namespace graft::core
