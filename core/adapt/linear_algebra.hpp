// Decompositions of dense matrices, by Eigen, which is included nowhere else.
#pragma once
#include <cstdint>
#include <vector>

namespace graft::core {

/// Row-major.
struct Matrix {
  std::int64_t rows = 0, cols = 0;
  std::vector<float> values;
};

/// a b.
Matrix product(const Matrix& a, const Matrix& b);
/// a^T b.
Matrix product_of_transposed(const Matrix& a, const Matrix& b);

/// Makes the columns orthonormal (there are not more of them than rows); those that span what the first k
/// did stay the first k.
void make_orthonormal(Matrix& y);

/// w = left diag(singular) right^T, singular values falling; left and right have as many columns.
struct Svd {
  Matrix left, right;
  std::vector<double> singular;
};
Svd svd(const Matrix& w);

/// Right singular vectors of z (the columns of `vectors`), by the eigenvectors of z^T z: for few
/// columns.
struct RightSingular {
  Matrix vectors;
  std::vector<double> singular;
};
RightSingular right_singular(const Matrix& z);

/// The first columns of Q and the first rows of R of w = Q R, signs as LAPACK's Householder method
/// gives them.
struct Qr {
  Matrix q, r;
};
Qr qr(const Matrix& w, std::int64_t count);

}  // namespace graft::core
