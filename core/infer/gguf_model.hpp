// Writes a model as a GGUF file.
#pragma once
#include "core/base/log.hpp"
#include "core/infer/model_content.hpp"

namespace graft::core {

/// `kind`: "q4_0", "q4_k_m", "q8_0", a plain type ("f16"), or "keep": each tensor in the type that the
/// GGUF has. `output` must end in ".gguf"; it is there whole or not at all, and has been read back
/// by then. Returns {"path", "types": {type: tensors}, "requantized": [Loss of tensors with other
/// values]}.
Json write_gguf_model(const ModelContent& content, const std::string& kind, const fs::path& output,
                      const Log& log);

}  // namespace graft::core
