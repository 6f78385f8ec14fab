#include <algorithm>
#include <cmath>

#include "kernels.hpp"

namespace graft::ref {
namespace {

std::vector<std::int32_t> labels_of(const graft_view& labels, const graft_view& logits) {
  require(logits.ndim == 2, "cross_entropy: logits is [rows, v]");
  const std::vector<std::int32_t> values = load_ids(labels);
  require(labels.shape[0] == logits.shape[0], "cross_entropy: labels is not [rows]");
  for (const std::int32_t label : values)
    require(label < logits.shape[1], "cross_entropy: a label is not below v");
  return values;
}

}  // namespace

void cross_entropy(const graft_kernel_args& args) {
  const graft_view& logits = args.in[0];
  const auto labels = labels_of(args.in[1], logits);
  Values loss(labels.size()), lse(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const Values x = load(row_of(logits, static_cast<std::int64_t>(i)));
    double max = -INFINITY, sum = 0;
    for (const double value : x) max = std::max(max, value);
    for (const double value : x) sum += std::exp(value - max);
    lse[i] = max + std::log(sum);
    loss[i] = labels[i] < 0 ? 0 : lse[i] - x[labels[i]];
  }
  store(loss, args.out[0]);
  store(lse, args.out[1]);
}

void cross_entropy_bwd(const graft_kernel_args& args) {
  const graft_view &logits = args.in[0], &dlogits = args.out[0];
  require(same_shape(logits, dlogits), "cross_entropy_bwd: logits and dlogits differ in shape");
  const auto labels = labels_of(args.in[1], logits);
  const Values lse = load(args.in[2]), dloss = load(args.in[3]);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    Values x = load(row_of(logits, row));
    for (double& value : x) value = labels[i] < 0 ? 0 : dloss[i] * std::exp(value - lse[i]);
    if (labels[i] >= 0) x[labels[i]] -= dloss[i];
    store(x, row_of(dlogits, row));
  }
}

}  // namespace graft::ref
