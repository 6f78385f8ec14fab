// Matrices of small integers in words of 32 bits, with a scale and a zero for each group of inputs, as
// GPTQ and AWQ store them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace graft::core {

/// Value [row, column] is scale · (code - zero), scale and zero being those of the column's group. Views of
/// a file; they need not be aligned. Sizes are checked by who makes one.
struct PackedMatrix {
  std::int64_t rows = 0, columns = 0, groups = 0;
  std::int64_t bits = 4;  ///< 2, 4 or 8
  /// Words hold codes of one row, [columns · bits / 32, rows] (GPTQ), or of eight rows, [columns, rows / 8],
  /// in another order (AWQ). Zeros are [groups, rows · bits / 32] in the order of the kind.
  bool words_of_rows = false;
  std::int64_t zero_offset = 0;  ///< what is added to a zero of the file
  std::span<const std::byte> codes, zeros;
  std::span<const std::byte> scales;  ///< f16 [groups, rows]
  std::vector<std::int32_t> group;    ///< of each column
  std::shared_ptr<const void> owners[3];
};

/// Elements of rows [begin, end), in f32.
void expand_rows(const PackedMatrix& matrix, std::int64_t begin, std::int64_t end, float* out);

/// "q4_0" or "q8_0" where blocks of that format hold exactly the same values: zeros in the middle, groups
/// of whole blocks of columns that follow one another. Else "".
std::string_view exact_blocks(const PackedMatrix& matrix);
/// All rows in that format.
void repack(const PackedMatrix& matrix, std::string_view format, std::byte* blocks);

}  // namespace graft::core
