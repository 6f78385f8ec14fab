// Matrices into block formats: to a code book (nf4, fp4) or to integers (int8) as bitsandbytes does it
// on the CPU, or into the blocks of GGUF files.
#pragma once
#include <graft/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace graft::core {

/// The 16 values of "nf4" or "fp4", by code. Throws for another name.
std::span<const float, 16> code_book(std::string_view format);
/// graft::dynamic8's map with a sign.
const std::array<float, 256>& dynamic_map();

/// A matrix in "nf4", "fp4", "int8" or a format of block_formats.hpp with the sizes of its buffers and no buffers yet. `block` (a power
/// of two from 32 to 4096) and `nested` (scales as 8-bit codes) are for nf4 and fp4. Throws for
/// what there is not.
graft_quant quantized_shape(std::string_view format, std::int64_t rows, std::int64_t columns,
                            std::int64_t block, bool nested);

/// Bytes of all buffers, each on 64 bytes.
std::uint64_t buffer_bytes(const graft_quant& shape);
/// Points the buffers into memory of so many bytes.
void set_buffers(graft_quant& shape, void* memory);

/// Fills the buffers, which are host memory. Throws for values that are not finite, naming `who`.
/// Uses up to `threads` threads; the result does not depend on their number.
void quantize(const graft_quant& target, const float* values, int threads, std::string_view who);

/// Codes of values[i] / scale in the dynamic map, scale being the largest magnitude of each `block`
/// values.
void quantize_dynamic(std::span<const float> values, std::int64_t block, std::uint8_t* codes,
                      float* scales);

/// Rows [begin, end) in `dtype` (f32, bf16, f16 or f64).
void expand_rows(const graft_quant& source, std::uint32_t dtype, void* target, std::int64_t begin,
                 std::int64_t end);

}  // namespace graft::core
