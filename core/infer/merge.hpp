// A model folder with adapters worked into its weights.
#pragma once
#include "core/infer/inference.hpp"

namespace graft::core {

/// Writes the model with the adapters of `options` in its tensors, computed in f32: a folder, or a GGUF
/// file where `output` ends in ".gguf" (or the model is one). Tensors keep their types; what is quantized is quantized
/// again where `keep` says so, else written in the type that the model had before. Returns {"path",
/// "tensors": how many changed, "requantized": what quantizing again takes from them}. Throws
/// GRAFT_E_INVALID, before anything is written, for an adapter that cannot be merged.
Json merge_model(const fs::path& model, const fs::path& output, const InferenceOptions& options,
                 bool keep, Registry& registry, const Log& log);

}  // namespace graft::core
