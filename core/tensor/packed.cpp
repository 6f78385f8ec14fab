#include "core/tensor/packed.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

constexpr std::int64_t tile = 64;

std::uint32_t word_at(std::span<const std::byte> words, std::int64_t index) {
  std::uint32_t word = 0;
  std::memcpy(&word, words.data() + static_cast<std::size_t>(index) * sizeof word, sizeof word);
  return word;
}

std::uint16_t half_at(std::span<const std::byte> halves, std::int64_t index) {
  std::uint16_t half = 0;
  std::memcpy(&half, halves.data() + static_cast<std::size_t>(index) * sizeof half, sizeof half);
  return half;
}

/// Which nibble of an AWQ word holds the r-th of its eight rows.
constexpr std::array<int, 8> nibble_of_row = {0, 4, 1, 5, 2, 6, 3, 7};

/// Codes of rows [begin, begin + n) at a column.
void codes_at(const PackedMatrix& m, std::int64_t column, std::int64_t begin, std::int64_t n,
              std::int32_t* out) {
  const std::uint32_t mask = (std::uint32_t{1} << m.bits) - 1;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t row = begin + i;
    std::uint32_t word = 0;
    std::int64_t shift = 0;
    if (m.words_of_rows) {
      word = word_at(m.codes, column * (m.rows / 8) + row / 8);
      shift = 4 * nibble_of_row[static_cast<std::size_t>(row % 8)];
    } else {
      const std::int64_t per_word = 32 / m.bits;
      word = word_at(m.codes, column / per_word * m.rows + row);
      shift = column % per_word * m.bits;
    }
    out[i] = static_cast<std::int32_t>((word >> shift) & mask);
  }
}

std::int32_t zero_at(const PackedMatrix& m, std::int64_t group, std::int64_t row) {
  const std::int64_t per_word = 32 / m.bits;
  const std::uint32_t word = word_at(m.zeros, group * (m.rows / per_word) + row / per_word);
  const std::int64_t shift = m.words_of_rows ? 4 * nibble_of_row[static_cast<std::size_t>(row % 8)]
                                             : row % per_word * m.bits;
  const std::uint32_t mask = (std::uint32_t{1} << m.bits) - 1;
  return static_cast<std::int32_t>((word >> shift) & mask) +
         static_cast<std::int32_t>(m.zero_offset);
}

}  // namespace

void expand_rows(const PackedMatrix& m, std::int64_t begin, std::int64_t end, float* out) {
  std::int32_t codes[tile] = {}, zeros[tile] = {};
  float scales[tile] = {};
  for (std::int64_t row = begin; row < end; row += tile) {
    const std::int64_t n = std::min(tile, end - row);
    std::int32_t group = -1;
    for (std::int64_t column = 0; column < m.columns; ++column) {
      if (m.group[static_cast<std::size_t>(column)] != group) {
        group = m.group[static_cast<std::size_t>(column)];
        for (std::int64_t i = 0; i < n; ++i) {
          zeros[i] = zero_at(m, group, row + i);
          scales[i] = f16_to_float(half_at(m.scales, group * m.rows + row + i));
        }
      }
      codes_at(m, column, row, n, codes);
      float* at = out + (row - begin) * m.columns + column;
      for (std::int64_t i = 0; i < n; ++i) {
        at[i * m.columns] = scales[i] * static_cast<float>(codes[i] - zeros[i]);
      }
    }
  }
}

std::string_view exact_blocks(const PackedMatrix& m) {
  if ((m.bits != 4 && m.bits != 8) || m.columns % 32 != 0) return {};
  for (std::int64_t column = 0; column < m.columns; ++column) {
    const auto first = static_cast<std::size_t>(column / 32 * 32);
    if (m.group[static_cast<std::size_t>(column)] != m.group[first]) return {};
  }
  const std::int32_t middle = 1 << (m.bits - 1);
  for (std::int64_t group = 0; group < m.groups; ++group) {
    for (std::int64_t row = 0; row < m.rows; ++row) {
      if (zero_at(m, group, row) != middle) return {};
    }
  }
  return m.bits == 4 ? "q4_0" : "q8_0";
}

void repack(const PackedMatrix& m, std::string_view format, std::byte* blocks) {
  const bool four = format == "q4_0";
  const std::size_t size = four ? 18 : 34;
  std::int32_t codes[tile] = {};
  for (std::int64_t row = 0; row < m.rows; row += tile) {
    const std::int64_t n = std::min(tile, m.rows - row);
    for (std::int64_t column = 0; column < m.columns; ++column) {
      codes_at(m, column, row, n, codes);
      const std::int64_t group = m.group[static_cast<std::size_t>(column)], j = column % 32;
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t index = (row + i) * (m.columns / 32) + column / 32;
        std::byte* block = blocks + static_cast<std::size_t>(index) * size;
        if (j == 0) {
          const std::uint16_t scale = half_at(m.scales, group * m.rows + row + i);
          std::memset(block, 0, size);
          std::memcpy(block, &scale, sizeof scale);
        }
        if (four) {
          block[2 + j % 16] |= static_cast<std::byte>(codes[i] << (j < 16 ? 0 : 4));
        } else {
          block[2 + j] = static_cast<std::byte>(codes[i] - 128);
        }
      }
    }
  }
}

}  // namespace graft::core
