// How a base model is quantized: "model.quantization" of RUN.json, --quantize of the command.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"

namespace graft::core {

struct Quantization {
  /// "keep": what the file holds quantized stays so where the device reads it; "none": it is expanded;
  /// "nf4", "fp4", "int8", or blocks of GGUF files: linear layers are quantized while they are loaded.
  std::string format = "keep";
  std::int64_t block = 64;                      ///< nf4, fp4: elements that share a scale
  bool nested = true;                           ///< nf4, fp4: the scales are quantized too
  std::vector<std::string> skip = {"lm_head"};  ///< modules that stay as they are, or ends of names

  bool makes() const { return format != "keep" && format != "none"; }
  bool skips(std::string_view module) const;
  /// What a folder of an adapter says of its base: {"format": .., ..}.
  Json json() const;
};

/// {"format": "nf4", "block": 64, "double": true, "skip": ["lm_head"]}
Json quantization_schema();
/// Of JSON that the schema has settled.
Quantization read_quantization(const Json& json);

}  // namespace graft::core
