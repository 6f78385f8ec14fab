// Writes a model as a folder whose weights bitsandbytes has quantized, or with weights that are not.
#pragma once
#include <functional>
#include <optional>

#include "core/infer/model_content.hpp"
#include "core/model/quantization.hpp"

namespace graft::core {

/// Linear layers in `quantization`'s format (nf4, fp4 or int8), all else as it is. What the folder
/// holds quantized stays so where "keep" asks for it, with its own statistics, and is expanded where
/// "none" does. `output` is there whole or not at all. Returns {"path", "tensors": how many are
/// quantized, "requantized": [Loss of tensors with other values]}.
Json write_hf_folder(const ModelContent& content, const Quantization& quantization,
                     const fs::path& output);

}  // namespace graft::core
