// A named tensor in host memory: a view of a mapped file, or of a buffer of its own.
#pragma once
#include <graft/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace graft::core {

struct PackedMatrix;

struct HostTensor {
  std::string name;
  std::uint32_t dtype = GRAFT_F32;    // GRAFT_QUANT when block_format is set
  std::vector<std::int64_t> shape;    // row-major
  std::span<const std::byte> bytes;   // need not be aligned to the element
  std::shared_ptr<const void> owner;  // keeps `bytes` alive
  std::string block_format;           // "" or "q4_0", ...: blocks run along the last axis
  /// Where `bytes` alone do not tell the values ("nf4", "int8"): all buffers.
  std::shared_ptr<const graft_quant> quant;
  /// The same of "gptq" and "awq", which are expanded or put into other blocks when they are loaded.
  std::shared_ptr<const PackedMatrix> packed;

  /// Above 0: the rows of each of that many heads lie in the order of adjacent rotary pairs
  /// (0, D/2, 1, D/2+1, ..), as llama.cpp stores q_proj and k_proj of Llama-like models.
  /// source_row() tells where a row lies; expand() undoes it.
  std::int64_t interleaved_heads = 0;
  /// Above 0: the rows are all queries, all keys, all values of that many heads; in order they would
  /// be those of one head after the other. That is how llama.cpp stores GPT-NeoX's.
  std::int64_t concatenated_heads = 0;
  /// The last two of the axes lie the other way round: `shape` is [out, in] and the columns lie
  /// together. Plain dtypes alone.
  bool transposed = false;

  bool rows_in_order() const { return interleaved_heads == 0 && concatenated_heads == 0; }

  /// True when `bytes` hold the elements in the order of `shape`: usable without expand().
  bool plain() const { return block_format.empty() && rows_in_order() && !transposed; }

  std::int64_t elements() const {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    return count;
  }
  /// Rows and columns of the matrix whose last axis is contiguous; a scalar is one row of one.
  std::int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const { return columns() == 0 ? 0 : elements() / columns(); }

  /// The place of logical row `row` in `bytes`, in rows. For a bias (rank 1) rows are elements.
  std::int64_t source_row(std::int64_t row) const {
    if (concatenated_heads > 0) {  // [heads, 3, size] is stored as [3, heads, size]
      const std::int64_t size = shape.front() / concatenated_heads / 3;
      const std::int64_t head = row / (3 * size), part = row / size % 3;
      return (part * concatenated_heads + head) * size + row % size;
    }
    if (interleaved_heads == 0) return row;
    const std::int64_t size = shape.front() / interleaved_heads, half = size / 2;
    const std::int64_t head = row / size, part = row % size / half, pair = row % half;
    return head * size + 2 * pair + part;
  }
};

/// "[2, 3]"
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace graft::core
