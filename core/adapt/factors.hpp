// Factors of a base weight, from which low-rank parameters may begin.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/adapt/linear_algebra.hpp"

namespace graft::core {

/// left [rows, rank], right [rank, cols].
struct Factors {
  std::vector<float> left, right;
};

/// The factors that were made last: parameters that begin from the same ones follow each other.
struct LastFactors {
  std::string of;
  Factors factors;
};

/// scale left right is the best approximation of w with that rank: w = U S V^T, left = U sqrt(S /
/// scale), right = sqrt(S / scale) V^T. Signs as they come: only the product is determined. Of large
/// matrices the singular vectors are found by subspace iteration, until what they hold of w grows by
/// less than a hundred-thousandth.
Factors svd_factors(const Matrix& w, std::int64_t rank, double scale);

/// w = Q R: the first columns of Q and the first rows of R, signs as LAPACK's Householder method
/// gives them.
Factors qr_factors(const Matrix& w, std::int64_t rank);

}  // namespace graft::core
