// Principal components of rows that come in batches.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "core/adapt/observe.hpp"

namespace graft::core {

/// z = x y and w = x^T z, of x [rows, features] and y [features, columns], all row-major.
struct Products {
  std::vector<float> z, w;
};
using Multiply = std::function<Products(const std::vector<float>& x, std::int64_t rows,
                                        const std::vector<float>& y, std::int64_t columns)>;

/// The incremental algorithm of Ross et al. 2008 ("Incremental Learning for Robust Visual Tracking"): a batch is put below
/// the components that there are, each as long as its singular value, and below them what the mean
/// has moved by. Of many features the leading singular vectors of that are found by
/// subspace iteration (Halko et al. 2011), by `multiply`.
class PrincipalComponents {
 public:
  PrincipalComponents(std::int64_t most, std::int64_t features) : most_(most) {
    result_.features = features;
  }
  /// False, and nothing is done, where there are fewer rows than components.
  bool add(const std::vector<float>& rows, const Multiply& multiply);
  const Components& result() const { return result_; }
  /// Cosines of the components and what they were before the last batch; empty after the first.
  const std::vector<double>& cosines() const { return cosines_; }

 private:
  std::int64_t most_ = 0, seen_ = 0;
  std::vector<double> mean_,
      square_;  ///< by feature: the mean, sums of squares of what differs from it
  std::vector<double> cosines_;
  Components result_;
};

}  // namespace graft::core
