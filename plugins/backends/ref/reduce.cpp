#include <algorithm>
#include <cmath>

#include "kernels.hpp"

namespace graft::ref {

void reduce_sum(const graft_kernel_args& args) {
  const graft_view &x = args.in[0], &y = args.out[0];
  require(x.ndim == y.ndim, "reduce_sum: x and y have different ranks");
  // y as dense sums, walked with stride 0 along the axes that are summed over.
  Values sums(static_cast<std::size_t>(elements(y)));
  graft_view place = y;
  std::int64_t step = 1;
  for (std::int32_t d = y.ndim - 1; d >= 0; --d) {
    require(y.shape[d] == x.shape[d] || y.shape[d] == 1,
            "reduce_sum: an extent of y is neither x's nor 1");
    place.stride[d] = step;
    step *= y.shape[d];
  }
  const Values values = load(x);
  const double* value = values.data();
  for_each(make_loop<2>({&x, &place}), [&](const auto& at) { sums[at[1]] += *value++; });
  store(sums, y, attr_i(&args, "accumulate"));
}

void softmax(const graft_kernel_args& args) {
  require(same_shape(args.in[0], args.out[0]), "x and y have different shapes");
  Values x = load(args.in[0]);
  const auto d = static_cast<std::size_t>(last_extent(args.in[0]));
  for (std::size_t row = 0; row < x.size(); row += d) {
    double* v = x.data() + row;
    const double max = *std::max_element(v, v + d);
    double sum = 0;
    for (std::size_t j = 0; j < d; ++j) sum += v[j] = std::exp(v[j] - max);
    for (std::size_t j = 0; j < d; ++j) v[j] /= sum;
  }
  store(x, args.out[0]);
}

void softmax_bwd(const graft_kernel_args& args) {
  require(same_shape(args.in[0], args.out[0]) && same_shape(args.in[1], args.out[0]),
          "dy, y and dx have different shapes");
  Values dy = load(args.in[0]);
  const Values y = load(args.in[1]);
  const auto d = static_cast<std::size_t>(last_extent(args.in[0]));
  for (std::size_t row = 0; row < dy.size(); row += d) {
    double dot = 0;
    for (std::size_t j = row; j < row + d; ++j) dot += dy[j] * y[j];
    for (std::size_t j = row; j < row + d; ++j) dy[j] = y[j] * (dy[j] - dot);
  }
  store(dy, args.out[0]);
}

}  // namespace graft::ref
