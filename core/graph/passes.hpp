// Rewrites of a recording between differentiation and planning. Each leaves the results equal.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/graph/device.hpp"
#include "core/graph/recorder.hpp"

namespace graft::core {

/// What a training step saves of the forward pass.
enum class Recompute : std::uint8_t {
  kNothing,  ///< everything the backward pass reads
  kLean,     ///< all but what is cheap to make again: norms, gate products, activations
  kBlock,    ///< the input of each layer
};

/// Turns concat into copies, reshapes that no strides can express into a copy and a reshape, and
/// composites for which the device has no kernel (or does not support the shapes at `bounds`) into
/// their decomposition; the names of those kernels are added to `decomposed`. Quantized weights are
/// expanded before ops whose kernels do not take them; matmul and gather add "matmul/1 of nf4" then.
void legalize(Recorder& recorder, const Device& device, const Bindings& bounds,
              std::vector<std::string>& decomposed);

/// Records again, before the backward ops that read them, the forward values that `policy` does not
/// save.
void recompute(Graph& graph, Recompute policy);

/// add(a, matmul(..)) becomes a matmul that accumulates onto a; a gradient's assign becomes the
/// accumulation of the op that makes it. See Node::onto.
void fuse(Graph& graph);

/// A part of the recording that runs once per tile of supervised rows: nodes [begin, end).
struct TiledRegion {
  std::int64_t begin = 0, end = 0;
  bool empty() const { return begin == end; }
};

/// Moves the ops over supervised rows next to one another where that is possible: head and loss,
/// forward and backward. Empty if it is not.
TiledRegion gather_tiled(Graph& graph);

/// Whether any axis has the symbol.
bool has_symbol(const Shape& shape, Symbol s);

}  // namespace graft::core
