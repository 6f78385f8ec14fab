// What derivatives of several ops share.
#pragma once
#include "core/graph/recorder.hpp"

namespace graft::core {

/// F32 for a trained tensor, whose gradient is that whatever the compute dtype; else 0: as it comes.
std::uint32_t gradient_dtype(const Recorder& r, ValueId operand);

/// Sums `d` down to the shape of `operand`, the reverse of broadcasting it, in its gradient_dtype().
ValueId reduce_gradient(Recorder& r, ValueId d, ValueId operand);

}  // namespace graft::core
