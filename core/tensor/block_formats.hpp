// Block formats: rows of numbers stored as blocks of small integers with scales.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace graft::core {

struct BlockFormat {
  std::string_view name;    // "q4_0", ...
  std::uint32_t ggml_type;  // its number in GGUF files
  std::int64_t elements;    // of a block
  std::int64_t bytes;       // of a block
  void (*expand)(const std::uint8_t* blocks, float* out, std::int64_t count);
};

/// q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k and iq4_nl.
std::span<const BlockFormat> block_formats();

/// Throws for an unknown name.
const BlockFormat& block_format(std::string_view name);

/// Expands `count` elements, a whole number of blocks, in the arithmetic that defines the format:
/// f32, each operation rounded.
void expand_block_row(std::string_view format, const std::byte* blocks, float* out,
                      std::int64_t count);

}  // namespace graft::core
