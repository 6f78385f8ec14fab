// A model folder with adapters worked into its weights.
#pragma once
#include "core/infer/inference.hpp"

namespace graft::core {

/// Writes `output`, a Hugging Face folder that must not be there or be empty: the model's files with
/// the adapters of `options` in its tensors, which keep their types. Computed in f32. Returns
/// {"tensors": how many changed, "path"}. Throws GRAFT_E_INVALID, before anything is written, for
/// an adapter that cannot be merged, and for a model that is a GGUF file.
Json merge_model(const fs::path& model, const fs::path& output, const InferenceOptions& options,
                 Registry& registry, const Log& log);

}  // namespace graft::core
