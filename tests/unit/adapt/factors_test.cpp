// Factors of base weights: products, singular values, LAPACK's signs.
#include "core/adapt/factors.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <utility>

#include "core/adapt/parameters.hpp"
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

// Of the cosines of a basis, orthogonal as they are, with singular values 6, 2 and 1.
Matrix smooth(std::size_t rows, std::size_t cols, std::size_t parts) {
  Matrix m{static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols),
           std::vector<float>(rows * cols)};
  const double singular[3] = {6, 2, 1};
  const auto wave = [](std::size_t k, std::size_t i, std::size_t n) {
    const auto at = [](std::size_t x) { return static_cast<double>(x); };
    return std::sqrt(2 / at(n)) * std::cos(std::acos(-1.0) / at(n) * (at(i) + 0.5) * at(k + 1));
  };
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      double x = 0;
      for (std::size_t k = 0; k < parts; ++k) {
        x += singular[k] * wave(k, i, rows) * wave(2 * k + 1, j, cols);
      }
      m.values[i * cols + j] = static_cast<float>(x);
    }
  }
  return m;
}

TEST(Factors, OfLargeMatricesTheLeadingSingularVectorsAreFound) {
  for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{140, 190}, {190, 140}}) {
    const Matrix m = smooth(rows, cols, 3), best = smooth(rows, cols, 2);
    const auto p = product(svd_factors(m, 2, 0.5), 2, 0.5);
    for (std::size_t i = 0; i < p.size(); ++i) {
      ASSERT_NEAR(p[i], static_cast<double>(best.values[i]), 1e-5);
    }
  }
  Matrix noise{150, 150, std::vector<float>(150 * 150)};
  for (std::size_t i = 0; i < noise.values.size(); ++i) {
    noise.values[i] = static_cast<float>(std::sin(static_cast<double>(i * i % 100003) * 12.9898));
  }
  // The whole decomposition has its rank above a quarter of the matrix.
  const auto held = [&](std::int64_t rank) {
    std::vector<double> sums;
    const Factors f = svd_factors(noise, rank, 1);
    for (std::size_t k = 0; k < 8; ++k) {
      double s = 0;
      for (std::size_t i = 0; i < 150; ++i) {
        const auto x = static_cast<double>(f.left[i * static_cast<std::size_t>(rank) + k]);
        s += x * x;
      }
      sums.push_back(s * s);  // left holds roots of singular values
    }
    return std::accumulate(sums.begin(), sums.end(), 0.0);
  };
  const double all = held(60), some = held(8);
  EXPECT_LE(some, all * (1 + 1e-5));
  EXPECT_GT(some, 0.98 * all);
}

TEST(Factors, OfZerosTheRightOneIsAsIfItWereAlone) {
  Parameter p;
  p.name = "a";
  p.dims = {2, 5};
  p.init = GRAFT_INIT_SVD_RIGHT;
  p.init_scale = 1;
  const auto zeros = [](const std::string&) { return std::vector<float>(4 * 5, 0.0f); };
  const std::vector<float> right = initial_values(p, 3, zeros);
  p.init = GRAFT_INIT_KAIMING_UNIFORM;
  EXPECT_EQ(right, initial_values(p, 3));
  p.init = GRAFT_INIT_SVD_LEFT;
  p.dims = {4, 2};
  EXPECT_EQ(initial_values(p, 3, zeros), std::vector<float>(8, 0.0f));
}

TEST(Factors, TheLastOnesAreNotMadeAgain) {
  int asked = 0;
  const auto base = [&](const std::string&) {
    ++asked;
    return sample(false).values;
  };
  LastFactors last;
  Parameter p;
  p.base = "w";
  p.dims = {1, 2};
  p.init = GRAFT_INIT_SVD_RIGHT;
  p.init_scale = 1;
  initial_values(p, 3, base, &last);
  p.dims = {4, 1};
  p.init = GRAFT_INIT_SVD_LEFT;
  const std::vector<float> left = initial_values(p, 3, base, &last);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(left, svd_factors(sample(false), 1, 1).left);
  p.init_scale = 2;
  EXPECT_NE(initial_values(p, 3, base, &last), left);
  p.init = GRAFT_INIT_QR_LEFT;
  EXPECT_NE(initial_values(p, 3, base, &last), left);
  EXPECT_EQ(asked, 3);
}

TEST(Factors, ARankAboveTheMatrixIsRefused) {
  EXPECT_ERROR(svd_factors(sample(false), 3, 1),
               "rank 3 is above the 2 that a weight of 4 by 2 has");
  EXPECT_ERROR(qr_factors(sample(true), 3), "rank 3 is above the 2");
}

}  // namespace
}  // namespace graft::core
