#include "core/adapt/factors.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/error.hpp"
#include "core/base/philox.hpp"

namespace graft::core {
namespace {

void check_rank(const Matrix& w, std::int64_t rank) {
  const std::int64_t most = std::min(w.rows, w.cols);
  if (rank <= most) return;
  throw Error(GRAFT_E_INVALID,
              cat("rank ", rank, " is above the ", most, " that a weight of ", w.rows, " by ",
                  w.cols, " has; choose at most ", most, " or another initialisation."));
}

/// `count` orthonormal columns that hold nearly as much of w (its rows) as its leading right singular
/// vectors do, and w times them.
std::pair<Matrix, Matrix> leading(const Matrix& w, std::int64_t count) {
  Matrix y{w.cols, count, std::vector<float>(static_cast<std::size_t>(w.cols * count))};
  for (std::size_t i = 0; i < y.values.size(); ++i) {
    y.values[i] = static_cast<float>(random_unit(random_bits(1, 2, i)) - 0.5);
  }
  make_orthonormal(y);
  double held = 0;
  for (int round = 0;; ++round) {
    Matrix z = product(w, y);
    double now = 0;
    for (const float x : z.values) now += static_cast<double>(x) * static_cast<double>(x);
    if (round == 30 || now <= held * (1 + 1e-5)) return {std::move(y), std::move(z)};
    held = now;
    y = product_of_transposed(w, z);
    make_orthonormal(y);
  }
}

}  // namespace

Factors svd_factors(const Matrix& w, std::int64_t rank, double scale) {
  check_rank(w, rank);
  // Singular vectors beyond those that are wanted, so that these are found sooner.
  const std::int64_t count = 2 * rank + 8;
  Svd found;
  if (std::min(w.rows, w.cols) > std::max<std::int64_t>(128, 2 * count)) {
    const auto [y, z] = leading(w, count);
    found = svd(z);
    found.right = product(y, found.right);
  } else {
    found = svd(w);
  }
  const auto r = static_cast<std::size_t>(rank);
  const auto rows = static_cast<std::size_t>(w.rows), cols = static_cast<std::size_t>(w.cols);
  const auto all = static_cast<std::size_t>(found.left.cols);
  Factors f{std::vector<float>(rows * r), std::vector<float>(r * cols)};
  for (std::size_t k = 0; k < r; ++k) {
    const auto root = static_cast<float>(std::sqrt(found.singular[k] / scale));
    for (std::size_t i = 0; i < rows; ++i) {
      f.left[i * r + k] = root * found.left.values[i * all + k];
    }
    for (std::size_t j = 0; j < cols; ++j) {
      f.right[k * cols + j] = root * found.right.values[j * all + k];
    }
  }
  return f;
}

Factors qr_factors(const Matrix& w, std::int64_t rank) {
  check_rank(w, rank);
  Qr found = qr(w, rank);
  return {std::move(found.q.values), std::move(found.r.values)};
}

}  // namespace graft::core
