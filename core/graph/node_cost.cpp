#include "core/graph/node_cost.hpp"

#include <algorithm>

#include "core/graph/op.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

double elements(const graft_view& v) {
  double n = 1;
  for (std::int32_t d = 0; d < v.ndim; ++d) n *= static_cast<double>(v.shape[d]);
  return n;
}

double bytes(const graft_view& v) {
  if (v.quant)
    return static_cast<double>(v.quant->rows) * static_cast<double>(v.quant->columns) *
           static_cast<double>(v.quant->block_bytes) / static_cast<double>(v.quant->block_elements);
  return elements(v) * static_cast<double>(dtype_size(v.dtype));
}

}  // namespace

NodeCost cost_of(const Node& node, const graft_kernel_args& args, const Bindings& bindings) {
  NodeCost cost;
  for (std::uint32_t i = 0; i < args.n_in; ++i) cost.bytes += bytes(args.in[i]);
  for (std::uint32_t i = 0; i < args.n_out; ++i) cost.bytes += bytes(args.out[i]);
  const std::string_view op = node.op->name;
  if (op == "matmul") {
    const graft_view& a = args.in[0];
    cost.flops = 2 * elements(args.out[0]) * static_cast<double>(a.shape[a.ndim - 1]);
  } else if (op == "attention" || op == "attention_bwd") {
    const bool forward = op == "attention";
    const graft_view& q = args.in[forward ? 0 : 1];
    const double documents =
        static_cast<double>(std::max<std::int64_t>(1, bindings[Symbol::kSequences]));
    cost.flops = (forward ? 2 : 5) * elements(q) * static_cast<double>(q.shape[0]) / documents;
  }
  return cost;
}

}  // namespace graft::core
