#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // -O2 of gcc 12 leaves these loops scalar
#endif

#include "core/adapt/components.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/philox.hpp"

namespace graft::core {
namespace {

// Products with x^T x before the last one: from nothing, and from the components of a batch before.
constexpr int kRounds = 5, kFurtherRounds = 3;

std::size_t size(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum[4] = {0, 0, 0, 0};  // four chains of additions at once
  std::size_t i = 0;
  for (; i + 4 <= a.size(); i += 4) {
    for (std::size_t k = 0; k < 4; ++k) sum[k] += a[i + k] * b[i + k];
  }
  for (; i < a.size(); ++i) sum[0] += a[i] * b[i];
  return sum[0] + sum[1] + sum[2] + sum[3];
}

/// Makes the columns of y [n, c] orthonormal (Gram and Schmidt, modified); one that depends on those
/// before it becomes 0.
void make_orthonormal(std::vector<float>& y, std::size_t n, std::size_t c) {
  std::vector<std::vector<double>> columns(c, std::vector<double>(n));
  for (std::size_t k = 0; k < c; ++k) {
    std::vector<double>& x = columns[k];
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<double>(y[i * c + k]);
    const double before = std::sqrt(dot(x, x));
    for (std::size_t j = 0; j < k; ++j) {
      const double d = dot(x, columns[j]);
      for (std::size_t i = 0; i < n; ++i) x[i] -= d * columns[j][i];
    }
    const double norm = std::sqrt(dot(x, x));
    for (double& v : x) v = norm > 1e-6 * before ? v / norm : 0;
    for (std::size_t i = 0; i < n; ++i) y[i * c + k] = static_cast<float>(x[i]);
  }
}

/// Eigenvalues and eigenvectors (columns of v) of a symmetric matrix, by Jacobi's rotations.
void eigen(std::vector<double>& a, std::vector<double>& v, std::size_t n) {
  v.assign(n * n, 0);
  for (std::size_t i = 0; i < n; ++i) v[i * n + i] = 1;
  for (int sweep = 0; sweep < 60; ++sweep) {
    bool turned = false;
    for (std::size_t p = 0; p + 1 < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        const double pp = a[p * n + p], qq = a[q * n + q], pq = a[p * n + q];
        if (std::abs(pq) <= 1e-14 * std::sqrt(std::abs(pp * qq)) + 1e-300) continue;
        turned = true;
        const double zeta = (qq - pp) / (2 * pq);
        const double t = (zeta >= 0 ? 1 : -1) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        const double c = 1 / std::sqrt(1 + t * t), s = c * t;
        const auto turn = [&](double& x, double& y) {
          const double old = x;
          x = c * old - s * y;
          y = s * old + c * y;
        };
        for (std::size_t i = 0; i < n; ++i) turn(a[i * n + p], a[i * n + q]);
        for (std::size_t i = 0; i < n; ++i) turn(a[p * n + i], a[q * n + i]);
        for (std::size_t i = 0; i < n; ++i) turn(v[i * n + p], v[i * n + q]);
      }
    }
    if (!turned) return;
  }
}

/// The leading right singular vectors of x [rows, features], and their singular values. `before`: those
/// of most of its rows, or none.
Components leading(const std::vector<float>& x, std::int64_t rows, std::int64_t features,
                   std::int64_t wanted, const Components& before, const Multiply& multiply) {
  const std::int64_t columns = std::min({2 * wanted + 8, rows, features});
  const std::size_t f = size(features), c = size(columns), n = size(wanted);
  std::vector<float> y(f * c);
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = static_cast<float>(random_unit(random_bits(1, 2, i)) - 0.5);
  }
  for (std::size_t k = 0; k < std::min(size(before.n), c); ++k) {
    for (std::size_t j = 0; j < f; ++j) y[j * c + k] = before.vectors[k * f + j];
  }
  make_orthonormal(y, f, c);
  for (int round = 0; round < (before.n > 0 ? kFurtherRounds : kRounds); ++round) {
    y = multiply(x, rows, y, columns).w;
    make_orthonormal(y, f, c);
  }
  // x y has the singular values of x, and its right singular vectors are these of x in terms of y.
  const std::vector<float> z = multiply(x, rows, y, columns).z;
  std::vector<double> gram(c * c, 0), v;
  for (std::size_t i = 0; i < size(rows); ++i) {
    const float* row = z.data() + i * c;
    for (std::size_t p = 0; p < c; ++p) {
      const auto at_p = static_cast<double>(row[p]);
      for (std::size_t q = 0; q < c; ++q) gram[p * c + q] += at_p * static_cast<double>(row[q]);
    }
  }
  eigen(gram, v, c);
  std::vector<std::size_t> order(c);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t p, std::size_t q) { return gram[p * c + p] > gram[q * c + q]; });
  Components result;
  result.n = wanted;
  result.features = features;
  result.vectors.resize(n * f);
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t at = order[k];
    result.singular.push_back(static_cast<float>(std::sqrt(std::max(0.0, gram[at * c + at]))));
    float* to = result.vectors.data() + k * f;
    float largest = 0;
    for (std::size_t i = 0; i < f; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < c; ++j) sum += static_cast<double>(y[i * c + j]) * v[j * c + at];
      to[i] = static_cast<float>(sum);
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

Multiply plain_multiply() {
  return [](const std::vector<float>& x, std::int64_t rows, const std::vector<float>& y,
            std::int64_t columns) {
    const std::size_t m = size(rows), c = size(columns), f = x.size() / m;
    Products p{std::vector<float>(m * c, 0.0f), std::vector<float>(f * c, 0.0f)};
    for (std::size_t i = 0; i < m; ++i) {
      float* z = p.z.data() + i * c;
      for (std::size_t j = 0; j < f; ++j) {
        const float at = x[i * f + j];
        const float* from = y.data() + j * c;
        for (std::size_t k = 0; k < c; ++k) z[k] += at * from[k];
      }
      for (std::size_t j = 0; j < f; ++j) {
        const float at = x[i * f + j];
        float* to = p.w.data() + j * c;
        for (std::size_t k = 0; k < c; ++k) to[k] += at * z[k];
      }
    }
    return p;
  };
}

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
  Components now = leading(x, static_cast<std::int64_t>(x.size() / f), result_.features, most_,
                           result_, multiply);
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
