#include "core/adapt/components.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/adapt/linear_algebra.hpp"
#include "core/base/philox.hpp"

namespace graft::core {
namespace {

// Products with x^T x before the last one: from nothing, and from the components of a batch before.
constexpr int kRounds = 5, kFurtherRounds = 3;
/// Of fewer features the decomposition is whole.
constexpr std::int64_t kFew = 128;

std::size_t size(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

/// Right singular vectors of x, the leading `wanted` of them and a few more, found by subspace
/// iteration. `before`: those of most of its rows, or none.
RightSingular leading(const Matrix& x, std::int64_t wanted, const Components& before,
                      const Multiply& multiply) {
  const std::int64_t columns = std::min({2 * wanted + 8, x.rows, x.cols});
  const std::size_t f = size(x.cols), c = size(columns);
  Matrix y{x.cols, columns, std::vector<float>(f * c)};
  for (std::size_t i = 0; i < y.values.size(); ++i) {
    y.values[i] = static_cast<float>(random_unit(random_bits(1, 2, i)) - 0.5);
  }
  for (std::size_t k = 0; k < std::min(size(before.n), c); ++k) {
    for (std::size_t j = 0; j < f; ++j) y.values[j * c + k] = before.vectors[k * f + j];
  }
  make_orthonormal(y);
  for (int round = 0; round < (before.n > 0 ? kFurtherRounds : kRounds); ++round) {
    y.values = multiply(x.values, x.rows, y.values, columns).w;
    make_orthonormal(y);
  }
  // x y has the singular values of x, and its right singular vectors are these of x in terms of y.
  const Matrix z{x.rows, columns, multiply(x.values, x.rows, y.values, columns).z};
  RightSingular found = right_singular(z);
  found.vectors = product(y, found.vectors);
  return found;
}

/// The first `wanted` as rows, their largest elements positive.
Components components_of(const RightSingular& found, std::int64_t wanted) {
  const std::size_t f = size(found.vectors.rows), c = size(found.vectors.cols);
  Components result;
  result.n = wanted;
  result.features = found.vectors.rows;
  result.vectors.resize(size(wanted) * f);
  for (std::size_t k = 0; k < size(wanted); ++k) {
    result.singular.push_back(static_cast<float>(found.singular[k]));
    float* to = result.vectors.data() + k * f;
    float largest = 0;
    for (std::size_t i = 0; i < f; ++i) {
      to[i] = found.vectors.values[i * c + k];
      if (std::abs(to[i]) > std::abs(largest)) largest = to[i];
    }
    if (largest < 0) {
      for (std::size_t i = 0; i < f; ++i) to[i] = -to[i];
    }
  }
  return result;
}

double cosine(const float* a, const float* b, std::size_t n) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / std::max(std::sqrt(aa * bb), 1e-300);
}

}  // namespace

bool PrincipalComponents::add(const std::vector<float>& rows, const Multiply& multiply) {
  const std::size_t f = size(result_.features), n = rows.size() / f;
  if (n < size(most_)) return false;
  const auto many = static_cast<double>(n), before = static_cast<double>(seen_);
  std::vector<double> mean(f, 0), square(f, 0);  // of the batch
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < f; ++j) mean[j] += static_cast<double>(rows[i * f + j]) / many;
  }
  // Below the components that there are, if any: the rows less their mean, and the mean's way.
  const bool first = seen_ == 0;
  std::vector<float> x;
  x.reserve((size(result_.n) + n + 1) * f);
  for (std::size_t k = 0; k < size(result_.n); ++k) {
    for (std::size_t j = 0; j < f; ++j) {
      x.push_back(result_.singular[k] * result_.vectors[k * f + j]);
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < f; ++j) {
      const double d = static_cast<double>(rows[i * f + j]) - mean[j];
      square[j] += d * d;
      x.push_back(static_cast<float>(d));
    }
  }
  if (first) {
    mean_ = mean;
    square_ = square;
  } else {
    const double both = before + many;
    for (std::size_t j = 0; j < f; ++j) {
      const double moved = mean_[j] - mean[j], weight = before * many / both;
      x.push_back(static_cast<float>(std::sqrt(weight) * moved));
      square_[j] += square[j] + weight * moved * moved;
      mean_[j] = (before * mean_[j] + many * mean[j]) / both;
    }
  }
  seen_ += static_cast<std::int64_t>(n);
  const Matrix stack{static_cast<std::int64_t>(x.size() / f), result_.features, std::move(x)};
  Components now = components_of(
      stack.cols <= kFew ? right_singular(stack) : leading(stack, most_, result_, multiply), most_);
  const double all = std::accumulate(square_.begin(), square_.end(), 0.0);
  cosines_.clear();
  for (std::size_t k = 0; k < size(now.n); ++k) {
    const auto s = static_cast<double>(now.singular[k]);
    now.explained.push_back(static_cast<float>(all > 0 ? s * s / all : 0));
    if (first) continue;
    cosines_.push_back(cosine(now.vectors.data() + k * f, result_.vectors.data() + k * f, f));
  }
  result_ = std::move(now);
  return true;
}

}  // namespace graft::core
