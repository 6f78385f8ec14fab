// From a recording to memory: lifetimes, one arena, kernels, and the cost, before anything runs.
#pragma once
#include <string>
#include <vector>

#include "core/graph/device.hpp"
#include "core/graph/passes.hpp"

namespace graft::core {

struct PlanOptions {
  Bindings bounds;  ///< the largest extents that will occur
  Recompute recompute = Recompute::kNothing;
  std::int64_t tile_rows = 256;  ///< supervised rows per tile of head and loss; 0: all at once
};

struct Holder {
  std::string name;
  std::uint64_t bytes = 0;
};

/// Where a value's memory is.
struct Home {
  enum class Kind : std::uint8_t { kUnused, kArena, kParameter, kWeight, kInput, kBuffer };
  Kind kind = Kind::kUnused;
  std::uint64_t offset = 0;  ///< kArena: bytes from its start; kInput: from the inputs' start
  std::int32_t slot = -1;    ///< the others
  bool inner = false;        ///< lives within one tile
};

/// One kernel call.
struct Call {
  const graft_kernel* kernel = nullptr;
  std::vector<ValueId> in, out;
  std::vector<graft_attr> attrs;
  std::int64_t node = -1;
  bool zero_first = false;  ///< its output is zeroed before the first tile, then accumulates
};

struct Plan {
  Graph graph;  ///< after all rewrites
  PlanOptions options;
  std::vector<ValueId> root;       ///< by value: the value whose memory it looks at
  std::vector<std::int64_t> view;  ///< by value: the view node that makes it, or -1
  std::vector<Home> home;          ///< by value; of roots
  std::vector<Call> calls;
  std::int64_t tiled_begin = 0, tiled_end = 0;  ///< calls that run once per tile

  std::uint64_t arena_bytes = 0, workspace_bytes = 0, input_bytes = 0;
  std::vector<Holder> holders;          ///< of the arena at its fullest, largest first
  std::vector<std::string> decomposed;  ///< composites that this device runs as several kernels
  std::int64_t forward_ops = 0, backward_ops = 0;  ///< as recorded
  double flops = 0;  ///< of one run at the bounds: matmul and causal attention

  Plan() = default;
  Plan(Plan&&) = default;
  Plan& operator=(Plan&&) = default;
  Plan(const Plan&) = delete;
};

/// Lays a recording out. Throws GRAFT_E_INVALID naming kernel, backend and site when a kernel is
/// missing.
Plan make_plan(Recorder& recorder, const Device& device, const PlanOptions& options);

}  // namespace graft::core
