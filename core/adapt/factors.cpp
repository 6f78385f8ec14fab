#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // -O2 of gcc 12 leaves these loops scalar
#endif

#include "core/adapt/factors.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.hpp"
#include "core/base/philox.hpp"

namespace graft::core {
namespace {

/// In double, by columns.
struct Columns {
  std::size_t rows = 0, cols = 0;
  std::vector<double> values;
  double* col(std::size_t i) { return values.data() + i * rows; }
  const double* col(std::size_t i) const { return values.data() + i * rows; }
};

Columns columns_of(const Matrix& m, bool transposed) {
  auto rows = static_cast<std::size_t>(m.rows), cols = static_cast<std::size_t>(m.cols);
  if (rows == 0) rows = m.values.size() / cols;
  if (cols == 0) cols = m.values.size() / rows;
  Columns c{transposed ? cols : rows, transposed ? rows : cols, {}};
  c.values.resize(m.values.size());
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      const double x = static_cast<double>(m.values[i * cols + j]);
      (transposed ? c.col(i)[j] : c.col(j)[i]) = x;
    }
  }
  return c;
}

double dot(const double* a, const double* b, std::size_t n) {
  return std::inner_product(a, a + n, b, 0.0);
}

/// One-sided Jacobi (Hestenes 1958): turns pairs of columns of `a` until all are orthogonal, and the
/// columns of `v` with them. Then a = U S and the first a was U S V^T.
void make_orthogonal(Columns& a, Columns& v) {
  for (int sweep = 0; sweep < 60; ++sweep) {
    double worst = 0;
    for (std::size_t p = 0; p + 1 < a.cols; ++p) {
      for (std::size_t q = p + 1; q < a.cols; ++q) {
        const double pp = dot(a.col(p), a.col(p), a.rows), qq = dot(a.col(q), a.col(q), a.rows);
        const double pq = dot(a.col(p), a.col(q), a.rows);
        const double cosine = std::abs(pq) / std::sqrt(std::max(pp * qq, 1e-300));
        worst = std::max(worst, cosine);
        if (cosine < 1e-12) continue;
        const double zeta = (qq - pp) / (2 * pq);
        const double t = (zeta >= 0 ? 1 : -1) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        const double c = 1 / std::sqrt(1 + t * t), s = c * t;
        for (Columns* m : {&a, &v}) {
          double *x = m->col(p), *y = m->col(q);
          for (std::size_t i = 0; i < m->rows; ++i) {
            const double old = x[i];
            x[i] = c * old - s * y[i];
            y[i] = s * old + c * y[i];
          }
        }
      }
    }
    if (worst < 1e-10) return;
  }
}

void check_rank(const Columns& a, std::int64_t rank) {
  const auto most = static_cast<std::int64_t>(std::min(a.rows, a.cols));
  if (rank <= most) return;
  throw Error(GRAFT_E_INVALID,
              cat("rank ", rank, " is above the ", most, " that a weight of ", a.rows, " by ",
                  a.cols, " has; choose at most ", most, " or another initialisation."));
}

/// Gram and Schmidt, twice. A column that depends on those before it becomes 0.
void make_orthonormal(Columns& c) {
  for (std::size_t k = 0; k < c.cols; ++k) {
    double* x = c.col(k);
    const double before = std::sqrt(dot(x, x, c.rows));
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t j = 0; j < k; ++j) {
        const double d = dot(c.col(j), x, c.rows);
        for (std::size_t i = 0; i < c.rows; ++i) x[i] -= d * c.col(j)[i];
      }
    }
    const double norm = std::sqrt(dot(x, x, c.rows));
    for (std::size_t i = 0; i < c.rows; ++i) x[i] = norm > 1e-6 * before ? x[i] / norm : 0;
  }
}

/// w y, or its transpose times y; w [rows, cols] row-major, summed in f32.
Columns times(const std::vector<float>& w, std::size_t rows, std::size_t cols, bool transposed,
              const Columns& y) {
  const std::size_t n = transposed ? cols : rows, c = y.cols;
  std::vector<float> by_row(y.values.size()), sum(n * c, 0.0f);
  for (std::size_t k = 0; k < c; ++k) {
    for (std::size_t i = 0; i < y.rows; ++i) by_row[i * c + k] = static_cast<float>(y.col(k)[i]);
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      const float x = w[i * cols + j];
      float* to = sum.data() + (transposed ? j : i) * c;
      const float* from = by_row.data() + (transposed ? i : j) * c;
      for (std::size_t k = 0; k < c; ++k) to[k] += x * from[k];
    }
  }
  Columns result{n, c, std::vector<double>(n * c)};
  for (std::size_t k = 0; k < c; ++k) {
    for (std::size_t i = 0; i < n; ++i) result.col(k)[i] = static_cast<double>(sum[i * c + k]);
  }
  return result;
}

/// `count` orthonormal columns that hold nearly as much of w (its rows) as its leading right singular
/// vectors do.
Columns leading(const Matrix& w, std::size_t rows, std::size_t cols, std::size_t count) {
  Columns y{cols, count, std::vector<double>(cols * count)};
  for (std::size_t i = 0; i < y.values.size(); ++i) {
    y.values[i] = random_unit(random_bits(1, 2, i)) - 0.5;
  }
  make_orthonormal(y);
  double held = 0;
  for (int round = 0; round < 30; ++round) {
    const Columns z = times(w.values, rows, cols, false, y);
    const double now = dot(z.values.data(), z.values.data(), z.values.size());
    if (now <= held * (1 + 1e-5)) break;
    held = now;
    y = times(w.values, rows, cols, true, z);
    make_orthonormal(y);
  }
  return y;
}

}  // namespace

Factors svd_factors(const Matrix& w, std::int64_t rank, double scale) {
  Columns a = columns_of(w, false);
  check_rank(a, rank);
  // Singular vectors beyond those that are wanted, so that these are found sooner.
  const std::size_t rows_of_w = a.rows, cols_of_w = a.cols;
  const auto count = static_cast<std::size_t>(2 * rank + 8);
  const bool large = std::min(rows_of_w, cols_of_w) > std::max<std::size_t>(128, 2 * count);
  const bool turned = !large && a.rows < a.cols;  // fewer columns, fewer turns
  Columns v;
  if (large) {
    v = leading(w, rows_of_w, cols_of_w, count);
    a = times(w.values, rows_of_w, cols_of_w, false, v);
  } else {
    if (turned) a = columns_of(w, true);
    v = {a.cols, a.cols, std::vector<double>(a.cols * a.cols, 0)};
    for (std::size_t i = 0; i < a.cols; ++i) v.col(i)[i] = 1;
  }
  make_orthogonal(a, v);
  std::vector<double> singular;
  for (std::size_t i = 0; i < a.cols; ++i)
    singular.push_back(std::sqrt(dot(a.col(i), a.col(i), a.rows)));
  std::vector<std::size_t> order(a.cols);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t x, std::size_t y) { return singular[x] > singular[y]; });
  const auto r = static_cast<std::size_t>(rank);
  const std::size_t rows = turned ? v.rows : a.rows, cols = turned ? a.rows : v.rows;
  Factors f;
  f.left.resize(rows * r);
  f.right.resize(r * cols);
  for (std::size_t k = 0; k < r; ++k) {
    const double s = singular[order[k]], root = std::sqrt(s / scale);
    const double *u = a.col(order[k]), *t = v.col(order[k]);
    const auto of_u = [&](std::size_t i) {
      return static_cast<float>(s > 0 ? u[i] / s * root : 0);
    };
    const auto of_v = [&](std::size_t i) { return static_cast<float>(t[i] * root); };
    for (std::size_t i = 0; i < rows; ++i) f.left[i * r + k] = turned ? of_v(i) : of_u(i);
    for (std::size_t j = 0; j < cols; ++j) f.right[k * cols + j] = turned ? of_u(j) : of_v(j);
  }
  return f;
}

Factors qr_factors(const Matrix& w, std::int64_t rank) {
  Columns a = columns_of(w, false);
  check_rank(a, rank);
  const std::size_t n = std::min(a.rows, a.cols);
  std::vector<std::vector<double>> reflectors;  // unit vectors of I - 2 u u^T
  for (std::size_t k = 0; k < n; ++k) {
    std::vector<double> u(a.rows, 0);
    std::copy(a.col(k) + k, a.col(k) + a.rows, u.begin() + static_cast<std::ptrdiff_t>(k));
    const double norm = std::sqrt(dot(u.data(), u.data(), a.rows));
    // A last column of one element is left as it is, as LAPACK does.
    const bool alone = k + 1 == a.rows;
    if (!alone) u[k] += u[k] >= 0 ? norm : -norm;
    const double length = std::sqrt(dot(u.data(), u.data(), a.rows));
    for (double& x : u) x = alone || length == 0 ? 0 : x / length;
    for (std::size_t j = k; j < a.cols; ++j) {
      const double d = 2 * dot(u.data(), a.col(j), a.rows);
      for (std::size_t i = k; i < a.rows; ++i) a.col(j)[i] -= d * u[i];
    }
    reflectors.push_back(std::move(u));
  }
  const auto r = static_cast<std::size_t>(rank);
  Factors f;
  f.left.resize(a.rows * r);
  f.right.resize(r * a.cols);
  for (std::size_t k = 0; k < r; ++k) {
    std::vector<double> q(a.rows, 0);
    q[k] = 1;
    for (std::size_t i = reflectors.size(); i-- > 0;) {
      const double d = 2 * dot(reflectors[i].data(), q.data(), a.rows);
      for (std::size_t j = 0; j < a.rows; ++j) q[j] -= d * reflectors[i][j];
    }
    for (std::size_t i = 0; i < a.rows; ++i) f.left[i * r + k] = static_cast<float>(q[i]);
    for (std::size_t j = 0; j < a.cols; ++j) {
      f.right[k * a.cols + j] = j < k ? 0 : static_cast<float>(a.col(j)[k]);
    }
  }
  return f;
}

}  // namespace graft::core
