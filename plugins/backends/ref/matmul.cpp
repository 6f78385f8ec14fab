// c = alpha a b + bias. For each tile of columns of c, the tile of b is read into a dense f64
// array once; then every row of a runs over it in the order i, k, j, so the inner loop is a
// row of doubles plus a multiple of another.
#include <algorithm>

#include "kernels.hpp"

namespace graft::ref {
namespace {

constexpr std::int64_t kTile = 256;

// View `v`'s last two axes at the place `index` (row-major) of the leading axes.
graft_view matrix_at(const graft_view& v, std::int64_t index) {
  graft_view out = v;
  for (std::int32_t d = v.ndim - 3; d >= 0; --d) {
    out = part_of(out, d, index % v.shape[d], 1);
    index /= v.shape[d];
  }
  out.ndim = 2;
  for (std::int32_t d = 0; d < 2; ++d) {
    out.shape[d] = v.shape[v.ndim - 2 + d];
    out.stride[d] = v.stride[v.ndim - 2 + d];
  }
  return out;
}

void matmul_2d(const graft_view& a, const graft_view& b, const Values& bias, const graft_view& c,
               double alpha, bool accumulate) {
  const std::int64_t m = c.shape[0], n = c.shape[1], k = a.shape[1];
  const Values rows = load(a);
  Values tile(static_cast<std::size_t>(k * std::min(n, kTile)));
  for (std::int64_t j0 = 0; j0 < n; j0 += kTile) {
    const std::int64_t width = std::min(kTile, n - j0);
    load_to(part_of(b, 1, j0, width), tile.data());
    for (std::int64_t i = 0; i < m; ++i) {
      double sum[kTile] = {};
      for (std::int64_t p = 0; p < k; ++p) {
        const double factor = rows[i * k + p];
        const double* from = tile.data() + p * width;
        for (std::int64_t j = 0; j < width; ++j) sum[j] += factor * from[j];
      }
      for (std::int64_t j = 0; j < width; ++j)
        sum[j] = alpha * sum[j] + (bias.empty() ? 0 : bias[j0 + j]);
      store(sum, part_of(row_of(c, i), 0, j0, width), accumulate);
    }
  }
}

}  // namespace

std::uint64_t matmul_workspace(graft_device*, const graft_kernel_args* args) {
  const graft_view &a = args->in[0], &b = args->in[1];
  if (a.ndim < 2 || b.ndim < 2) return 0;
  const std::int64_t m = a.shape[a.ndim - 2], k = a.shape[a.ndim - 1], n = b.shape[b.ndim - 1];
  const std::int64_t dense = m * k + k * std::min(n, kTile) + (b.quant ? elements(b) : 0);
  return static_cast<std::uint64_t>(dense) * sizeof(double);
}

void matmul(const graft_kernel_args& args) {
  const Readable factor(args.in[1]);
  const graft_view &a = args.in[0], &b = factor.view, &c = args.out[0];
  require(c.ndim >= 2 && a.ndim == c.ndim && b.ndim == c.ndim,
          "matmul: a, b and c have different ranks, or less than 2 axes");
  const std::int32_t m = c.ndim - 2, n = c.ndim - 1;
  require(a.shape[m] == c.shape[m] && b.shape[n] == c.shape[n] && a.shape[n] == b.shape[m],
          "matmul: a [m, k], b [k, n] and c [m, n] do not fit");
  std::int64_t matrices = 1;
  for (std::int32_t d = 0; d < m; ++d) {
    require(a.shape[d] == c.shape[d] && b.shape[d] == c.shape[d],
            "matmul: leading axes differ (broadcast is stride 0)");
    matrices *= c.shape[d];
  }
  const Values bias = args.n_in > 2 ? load(args.in[2]) : Values();
  require(args.n_in <= 2 || static_cast<std::int64_t>(bias.size()) == c.shape[n],
          "matmul: bias is not [n]");
  const double alpha = attr_f(&args, "alpha", 1);
  const bool accumulate = attr_i(&args, "accumulate");

  for (std::int64_t i = 0; i < matrices; ++i)
    matmul_2d(matrix_at(a, i), matrix_at(b, i), bias, matrix_at(c, i), alpha, accumulate);
}

}  // namespace graft::ref
