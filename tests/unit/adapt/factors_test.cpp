// Factors of base weights: products, singular values, LAPACK's signs.
#include "core/adapt/factors.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

// Of rank 2: outer products of (1, 2, 2, 4) / 5 and (2, -1, 4, -2) / 5 with (3, 4) / 5 and (-4, 3) / 5, times 6
// and 2; its transpose, and both with more columns than rows.
Matrix sample(bool transposed) {
  const double u[2][4] = {{0.2, 0.4, 0.4, 0.8}, {0.4, -0.2, 0.8, -0.4}},
               v[2][2] = {{0.6, 0.8}, {-0.8, 0.6}};
  Matrix m{transposed ? 2 : 4, transposed ? 4 : 2, std::vector<float>(8)};
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 2; ++j) {
      const double x = 6 * u[0][i] * v[0][j] + 2 * u[1][i] * v[1][j];
      m.values[static_cast<std::size_t>(transposed ? j * 4 + i : i * 2 + j)] =
          static_cast<float>(x);
    }
  }
  return m;
}

std::vector<double> product(const Factors& f, std::size_t rank, double scale) {
  const std::size_t rows = f.left.size() / rank, cols = f.right.size() / rank;
  std::vector<double> p(rows * cols, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t k = 0; k < rank; ++k) {
      for (std::size_t j = 0; j < cols; ++j) {
        p[i * cols + j] += scale * static_cast<double>(f.left[i * rank + k]) *
                           static_cast<double>(f.right[k * cols + j]);
      }
    }
  }
  return p;
}

TEST(Factors, OfAllRanksGiveTheMatrix) {
  for (const bool transposed : {false, true}) {
    const Matrix m = sample(transposed);
    const auto svd = product(svd_factors(m, 2, 1.5), 2, 1.5), qr = product(qr_factors(m, 2), 2, 1);
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_NEAR(svd[i], static_cast<double>(m.values[i]), 1e-6);
      EXPECT_NEAR(qr[i], static_cast<double>(m.values[i]), 1e-6);
    }
  }
}

// (1, 2, 2, 4) / 5 and (2, -1, 4, -2) / 5 are orthogonal, so the best matrix of rank one is known.
TEST(Factors, TheBestApproximationKeepsTheLargestSingularValue) {
  const auto p = product(svd_factors(sample(false), 1, 0.5), 1, 0.5);
  EXPECT_NEAR(p[0], 6 * 0.2 * 0.6, 1e-6);
  EXPECT_NEAR(p[7], 6 * 0.8 * 0.8, 1e-6);
  const Factors f = svd_factors(sample(false), 1, 0.5);
  double left = 0;
  for (const float x : f.left) left += static_cast<double>(x) * static_cast<double>(x);
  EXPECT_NEAR(left, 6 / 0.5, 1e-5);  // singular values are shared evenly
}

TEST(Factors, ARankAboveTheMatrixIsRefused) {
  EXPECT_ERROR(svd_factors(sample(false), 3, 1),
               "rank 3 is above the 2 that a weight of 4 by 2 has");
  EXPECT_ERROR(qr_factors(sample(true), 3), "rank 3 is above the 2");
}

}  // namespace
}  // namespace graft::core
