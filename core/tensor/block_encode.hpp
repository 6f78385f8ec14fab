// Numbers into the block formats of block_formats.hpp.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace graft::core {

/// Larger magnitudes have scales that are no halves.
inline constexpr float most_encodable = 65504;

/// Encodes `count` elements, a whole number of blocks, of magnitudes up to most_encodable. q4_0, q4_1,
/// q5_0, q5_1 and q8_0 get the bytes that the `gguf` package gives; for the others scales are
/// searched that make the sum of squared errors small.
void encode_block_row(std::string_view format, const float* values, std::byte* out,
                      std::int64_t count);

}  // namespace graft::core
