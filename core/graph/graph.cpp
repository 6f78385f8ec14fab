#include "core/graph/graph.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/error.hpp"

namespace graft::core {

const Attr& attr(const Params& params, const char* name) {
  for (const Attr& a : params.attrs) {
    if (std::strcmp(a.name, name) == 0) return a;
  }
  throw Error(GRAFT_E_INTERNAL, cat("an op was recorded without its attribute '", name, "'."));
}

std::int64_t count_ops(const Graph& graph, Direction direction) {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const Node& n) { return n.direction == direction; });
}

}  // namespace graft::core
