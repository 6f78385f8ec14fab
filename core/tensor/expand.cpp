#include "core/tensor/expand.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

#include "core/base/error.hpp"
#include "core/tensor/block_formats.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/packed.hpp"
#include "core/tensor/quantize.hpp"

namespace graft::core {
namespace {

constexpr std::int64_t chunk = 4096;  // floats of the buffer between blocks and target: 16 KiB

// A tensor as a matrix. The elements of a bias with interleaved heads are its rows.
struct Matrix {
  std::int64_t rows, columns;
};

Matrix matrix_of(const HostTensor& tensor) {
  if (!tensor.rows_in_order() && tensor.shape.size() == 1) return {tensor.shape[0], 1};
  return {tensor.rows(), tensor.columns()};
}

std::size_t stored_bytes(const HostTensor& tensor, std::int64_t elements) {
  if (tensor.block_format.empty()) {
    return static_cast<std::size_t>(elements) * dtype_size(tensor.dtype);
  }
  const BlockFormat& format = block_format(tensor.block_format);
  return static_cast<std::size_t>(elements / format.elements * format.bytes);
}

void check(const HostTensor& tensor) {
  const auto refuse = [&](const auto&... what) {
    throw Error(GRAFT_E_INVALID, cat("expand: '", tensor.name, "' ", what...));
  };
  if (tensor.packed) {
    if (tensor.packed->rows != tensor.rows() || tensor.packed->columns != tensor.columns()) {
      refuse("has packed integers of another shape than ", shape_text(tensor.shape), ".");
    }
    return;
  }
  if (tensor.quant) {
    if (tensor.quant->rows != tensor.rows() || tensor.quant->columns != tensor.columns()) {
      refuse("has blocks of another shape than ", shape_text(tensor.shape), ".");
    }
    return;
  }
  if (!tensor.block_format.empty() &&
      tensor.columns() % block_format(tensor.block_format).elements != 0) {
    refuse("has rows that are no whole number of ", tensor.block_format, " blocks.");
  }
  if (tensor.bytes.size() != stored_bytes(tensor, tensor.elements())) {
    refuse("has ", tensor.bytes.size(), " bytes, which do not fit ", shape_text(tensor.shape), ".");
  }
  if (tensor.interleaved_heads > 0 &&
      (tensor.shape.empty() || tensor.shape[0] % (2 * tensor.interleaved_heads) != 0)) {
    refuse("has rows that do not split into ", tensor.interleaved_heads, " heads of pairs.");
  }
  if (tensor.concatenated_heads > 0 &&
      (tensor.shape.empty() || tensor.shape[0] % (3 * tensor.concatenated_heads) != 0)) {
    refuse("has rows that do not split into ", tensor.concatenated_heads, " heads of q, k and v.");
  }
  if (tensor.transposed && (tensor.shape.size() != 2 || !tensor.block_format.empty())) {
    refuse("is transposed, which only matrices without blocks can be.");
  }
}

void expand_blocks(const BlockFormat& format, const std::byte* source, std::uint32_t dtype,
                   std::byte* target, std::int64_t count) {
  const auto* blocks = reinterpret_cast<const std::uint8_t*>(source);
  const std::size_t size = dtype_size(dtype);
  alignas(64) float buffer[chunk];
  for (std::int64_t at = 0; at < count; at += chunk) {
    const std::int64_t part = std::min(chunk, count - at);
    format.expand(blocks, buffer, part / format.elements);
    convert(dtype, target + static_cast<std::size_t>(at) * size, GRAFT_F32, buffer,
            static_cast<std::size_t>(part));
    blocks += part / format.elements * format.bytes;
  }
}

// Rows [begin, end) of a matrix whose columns lie together.
void expand_transposed(const HostTensor& tensor, std::uint32_t dtype, std::byte* target,
                       std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t tile = 64;
  const std::int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  const std::size_t from = dtype_size(tensor.dtype), to = dtype_size(dtype);
  std::byte part[tile * sizeof(double)];
  for (std::int64_t row = begin; row < end; row += tile) {
    const std::int64_t n = std::min(tile, end - row);
    for (std::int64_t column = 0; column < columns; ++column) {
      convert(dtype, part, tensor.dtype,
              tensor.bytes.data() + static_cast<std::size_t>(column * rows + row) * from,
              static_cast<std::size_t>(n));
      for (std::int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>((row - begin + i) * columns + column);
        std::memcpy(target + at * to, part + static_cast<std::size_t>(i) * to, to);
      }
    }
  }
}

void expand_packed(const PackedMatrix& matrix, std::uint32_t dtype, std::byte* target,
                   std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t step = 64;
  const auto columns = static_cast<std::size_t>(matrix.columns);
  std::vector<float> values(columns * static_cast<std::size_t>(step));
  for (std::int64_t row = begin; row < end; row += step) {
    const std::int64_t n = std::min(step, end - row);
    expand_rows(matrix, row, row + n, values.data());
    convert(dtype, target + static_cast<std::size_t>(row - begin) * columns * dtype_size(dtype),
            GRAFT_F32, values.data(), static_cast<std::size_t>(n) * columns);
  }
}

void run(const HostTensor& tensor, std::uint32_t dtype, std::byte* target, std::int64_t begin,
         std::int64_t end) {
  if (tensor.quant) return expand_rows(*tensor.quant, dtype, target, begin, end);
  if (tensor.packed) {
    expand_packed(*tensor.packed, dtype, target, begin, end);
    return;
  }
  if (tensor.transposed) {
    expand_transposed(tensor, dtype, target, begin, end);
    return;
  }
  const Matrix matrix = matrix_of(tensor);
  const std::size_t stored = stored_bytes(tensor, matrix.columns);
  const std::size_t wanted = static_cast<std::size_t>(matrix.columns) * dtype_size(dtype);
  // Rows that lie together are one run.
  const bool together = tensor.rows_in_order();
  const std::int64_t step = together ? end - begin : 1;
  for (std::int64_t row = begin; row < end; row += step) {
    const auto from = static_cast<std::size_t>(together ? row : tensor.source_row(row));
    const std::byte* source = tensor.bytes.data() + from * stored;
    std::byte* out = target + static_cast<std::size_t>(row - begin) * wanted;
    const std::int64_t count = step * matrix.columns;
    if (tensor.block_format.empty()) {
      convert(dtype, out, tensor.dtype, source, static_cast<std::size_t>(count));
    } else {
      expand_blocks(block_format(tensor.block_format), source, dtype, out, count);
    }
  }
}

}  // namespace

void expand_rows(const HostTensor& tensor, std::uint32_t dtype, void* target, std::int64_t begin,
                 std::int64_t end) {
  check(tensor);
  if (begin < 0 || end < begin || end > matrix_of(tensor).rows) {
    throw Error(GRAFT_E_INVALID,
                cat("expand_rows: '", tensor.name, "' has ", matrix_of(tensor).rows, " rows, not ",
                    begin, " to ", end, "."));
  }
  run(tensor, dtype, static_cast<std::byte*>(target), begin, end);
}

void expand(const HostTensor& tensor, std::uint32_t dtype, void* target, int threads) {
  check(tensor);
  // Refused here: a thread must not throw.
  convert(dtype, nullptr, tensor.block_format.empty() ? tensor.dtype : std::uint32_t{GRAFT_F32},
          nullptr, 0);
  const Matrix matrix = matrix_of(tensor);
  auto* out = static_cast<std::byte*>(target);
  const std::size_t row_bytes = static_cast<std::size_t>(matrix.columns) * dtype_size(dtype);
  // Below that many elements a thread costs more than it saves.
  constexpr std::int64_t worth_a_thread = 1 << 18;
  const std::int64_t wanted = std::min<std::int64_t>(
      {threads, matrix.rows, matrix.rows * matrix.columns / worth_a_thread + 1});
  const std::int64_t parts = std::max<std::int64_t>(wanted, 1);
  const auto bound = [&](std::int64_t part) {
    return matrix.rows / parts * part + std::min(part, matrix.rows % parts);
  };
  std::vector<std::jthread> team;
  for (std::int64_t part = 1; part < parts; ++part) {
    team.emplace_back([&, part] {
      run(tensor, dtype, out + static_cast<std::size_t>(bound(part)) * row_bytes, bound(part),
          bound(part + 1));
    });
  }
  run(tensor, dtype, out, 0, bound(1));
}

HostTensor expanded(const HostTensor& tensor, std::uint32_t dtype, int threads) {
  const std::size_t size = static_cast<std::size_t>(tensor.elements()) * dtype_size(dtype);
  // Not a vector: clearing the bytes first would cost as much as the expansion.
  const std::shared_ptr<std::byte[]> buffer(new std::byte[size]);
  expand(tensor, dtype, buffer.get(), threads);
  HostTensor result;
  result.name = tensor.name;
  result.dtype = dtype;
  result.shape = tensor.shape;
  result.bytes = {buffer.get(), size};
  result.owner = buffer;
  return result;
}

}  // namespace graft::core
