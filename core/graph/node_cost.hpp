// What one kernel call computes and touches, by the cost model: matrix products and attention.
#pragma once
#include <graft/plugin.h>

#include "core/graph/graph.hpp"

namespace graft::core {

struct NodeCost {
  double flops = 0;  ///< multiplications and additions of matrix products and causal attention
  double bytes = 0;  ///< of all operands, each read or written once
};

/// `args` need no data. Attention is counted for documents of equal length: half of a document's
/// keys per query, 2 products forward, 5 backward.
NodeCost cost_of(const Node& node, const graft_kernel_args& args, const Bindings& bindings);

}  // namespace graft::core
