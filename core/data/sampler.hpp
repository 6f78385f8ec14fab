// The order in which examples are drawn.
#pragma once
#include <cstdint>
#include <vector>

#include "core/data/dataset.hpp"

namespace graft::core {

/// An endless stream of draws, epoch after epoch. The n-th draw is a function of the dataset, the
/// seed and n alone, so a run is resumed by its position.
///
/// Files without weights: an epoch draws every example once, shuffled together, or in file order,
/// one file after the other. With weights: an epoch has as many draws as there are examples, and a
/// file's part of them is its weight over the sum of all weights (1 where it gives none). Each file
/// is gone through from end to end before an example of it comes again; a large file with a small
/// weight goes on in the next epoch where it was. Not shuffled, the files take turns evenly.
///
/// Keeps the order of one epoch in memory, 8 bytes a draw; used by one thread at a time.
class Sampler {
 public:
  Sampler(const Dataset& dataset, bool shuffle, std::uint64_t seed);

  std::int64_t epoch_size() const { return epoch_size_; }
  /// The example of a draw, counted from 0 over all epochs.
  std::int64_t at(std::int64_t draw);

 private:
  struct Part {
    std::int64_t begin, size, draws;  // draws: in an epoch
    std::uint64_t number;             // place of the file in the list
  };

  void order_epoch(std::int64_t epoch);
  /// Which part each draw of an epoch takes.
  std::vector<std::uint32_t> turns(std::int64_t epoch) const;

  std::vector<Part> parts_;
  bool shuffle_, weighted_ = false;
  std::uint64_t seed_;
  std::int64_t epoch_size_ = 0;
  std::int64_t epoch_ = -1;  // the one in order_
  std::vector<std::int64_t> order_;
};

}  // namespace graft::core
