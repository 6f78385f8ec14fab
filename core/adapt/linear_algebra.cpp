#include "core/adapt/linear_algebra.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>

namespace graft::core {
namespace {

using Wide = Eigen::MatrixXd;
using Narrow = Eigen::MatrixXf;
using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<const Rows> view(const Matrix& m) {
  return {m.values.data(), m.rows, m.cols};
}

Eigen::Map<Rows> view(Matrix& m) {
  return {m.values.data(), m.rows, m.cols};
}

Matrix sized(std::int64_t rows, std::int64_t cols) {
  return {rows, cols, std::vector<float>(static_cast<std::size_t>(rows * cols))};
}

Matrix narrowed(const Wide& wide) {
  Matrix m = sized(wide.rows(), wide.cols());
  view(m) = wide.cast<float>();
  return m;
}

}  // namespace

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix p = sized(a.rows, b.cols);
  view(p).noalias() = view(a) * view(b);
  return p;
}

Matrix product_of_transposed(const Matrix& a, const Matrix& b) {
  Matrix p = sized(a.cols, b.cols);
  view(p).noalias() = view(a).transpose() * view(b);
  return p;
}

void make_orthonormal(Matrix& y) {
  // By the factor of y^T y, of columns as long as one another, which takes a third of the time that
  // reflections take. Squaring loses nothing in double precision unless columns are all but dependent.
  Wide wide = view(y).cast<double>();
  wide.colwise().normalize();
  Wide gram = Wide::Zero(y.cols, y.cols);
  gram.selfadjointView<Eigen::Lower>().rankUpdate(wide.transpose());
  const Eigen::LLT<Wide> factor(gram);
  if (factor.info() == Eigen::Success && factor.matrixLLT().diagonal().minCoeff() > 1e-5) {
    factor.matrixU().solveInPlace<Eigen::OnTheRight>(wide);
    view(y) = wide.cast<float>();
    return;
  }
  const Eigen::HouseholderQR<Narrow> factors(view(y));
  view(y) = factors.householderQ() * Narrow::Identity(y.rows, y.cols);
}

Svd svd(const Matrix& w) {
  const Eigen::BDCSVD<Wide> made(view(w).cast<double>(), Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Eigen::VectorXd& s = made.singularValues();
  return {narrowed(made.matrixU()), narrowed(made.matrixV()), {s.data(), s.data() + s.size()}};
}

RightSingular right_singular(const Matrix& z) {
  const Wide wide = view(z).cast<double>();
  Wide gram(z.cols, z.cols);
  gram.noalias() = wide.transpose() * wide;
  const Eigen::SelfAdjointEigenSolver<Wide> made(gram);
  RightSingular result{narrowed(made.eigenvectors().rowwise().reverse()), {}};
  for (std::int64_t k = z.cols - 1; k >= 0; --k) {
    result.singular.push_back(std::sqrt(std::max(0.0, made.eigenvalues()(k))));
  }
  return result;
}

Qr qr(const Matrix& w, std::int64_t count) {
  const Eigen::HouseholderQR<Wide> made(view(w).cast<double>());
  const Wide upper = made.matrixQR().triangularView<Eigen::Upper>();
  return {narrowed(made.householderQ() * Wide::Identity(w.rows, count)),
          narrowed(upper.topRows(count))};
}

}  // namespace graft::core
