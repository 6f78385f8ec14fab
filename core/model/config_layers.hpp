// What differs from layer to layer: windows, rotations, scales of scores.
#pragma once
#include "core/model/config.hpp"
#include "core/model/config_fields.hpp"

namespace graft::core {

/// Fills window, ropes, layer_rope, attention_scale, softcaps and embedding_scale, whose sizes are
/// known already.
void set_layers(DecoderConfig& config, const ConfigFields& fields);

/// The same as far as the family alone tells: all but windows and ropes.
void set_scales(DecoderConfig& config, double query_scalar);

}  // namespace graft::core
