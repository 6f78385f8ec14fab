// Reverse-mode differentiation of a recording, toward trainable parameters only.
#pragma once
#include <map>

#include "core/graph/recorder.hpp"

namespace graft::core {

/// Appends to the recording the ops that compute d loss / d parameter for every trainable parameter
/// that `loss` (a [1] value) depends on. Nothing is recorded for values that no trainable parameter
/// sits below. Returns parameter leaf -> gradient; gradients are f32 (f64 if the leaf is). A
/// trainable parameter that the loss does not depend on is not in the map.
std::map<ValueId, ValueId> differentiate(Recorder& recorder, ValueId loss);

}  // namespace graft::core
