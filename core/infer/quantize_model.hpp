// `graft quantize`: a model in another format, on disk.
#pragma once
#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "core/base/log.hpp"

namespace graft::core {

/// The options: {"format", "block", "double", "skip", "threads"}.
Json quantize_options_schema();

/// Writes `model` quantized to `output`, tensor by tensor: a folder as bitsandbytes stores it (nf4, fp4,
/// int8) or a GGUF file (q4_0, q4_k_m, q8_0, f16, ..). It must not be there, and is there whole or not at
/// all. `options` are those of the schema. Returns {"path", "format", ..}.
Json quantize_model(const fs::path& model, const fs::path& output, const Json& options,
                    const Log& log);

}  // namespace graft::core
