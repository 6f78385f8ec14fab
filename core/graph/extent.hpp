// Extents that are known only at run time: linear forms over a few symbols.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace graft::core {

/// What varies from batch to batch. Each has an upper bound known before the first step.
enum class Symbol : std::uint8_t {
  kRows,        ///< rows of activations: tokens of all documents, end to end
  kSequences,   ///< documents
  kSupervised,  ///< rows with a label
  kGroup,       ///< rows of the first group of several that share a recording; see group_rows()
};
/// Groups that can share a recording.
inline constexpr int kGroups = 8;
inline constexpr int kSymbols = 3 + kGroups;

/// Rows of group `g` < kGroups. The groups follow one another and have kRows rows together.
constexpr Symbol group_rows(std::size_t g) {
  return static_cast<Symbol>(static_cast<std::size_t>(Symbol::kGroup) + g);
}

/// A number for each symbol: the bound when planning, the actual extents in a run.
struct Bindings {
  std::array<std::int64_t, kSymbols> value{};
  std::int64_t& operator[](Symbol s) { return value[static_cast<std::size_t>(s)]; }
  std::int64_t operator[](Symbol s) const { return value[static_cast<std::size_t>(s)]; }
  bool operator==(const Bindings&) const = default;
};

/// Bindings under which different products of linear forms cannot agree by accident, and no extent
/// that varies is 1.
inline constexpr Bindings kProbes[] = {
    {{10007, 101, 7919, 1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049}},
    {{20011, 307, 4513, 2003, 2011, 2017, 2027, 2029, 2039, 2053, 2063}}};

/// constant + sum of coefficient * symbol.
struct Extent {
  std::int64_t constant = 0;
  std::array<std::int64_t, kSymbols> coefficient{};

  Extent() = default;
  Extent(std::int64_t n) : constant(n) {}                             // NOLINT: numbers are extents
  Extent(Symbol s) { coefficient[static_cast<std::size_t>(s)] = 1; }  // NOLINT: so are symbols

  bool operator==(const Extent&) const = default;
  bool fixed() const {
    for (const std::int64_t c : coefficient) {
      if (c != 0) return false;
    }
    return true;
  }
  bool has(Symbol s) const { return coefficient[static_cast<std::size_t>(s)] != 0; }
  std::int64_t at(const Bindings& b) const {
    std::int64_t sum = constant;
    for (std::size_t i = 0; i < coefficient.size(); ++i) sum += coefficient[i] * b.value[i];
    return sum;
  }
};

Extent operator+(const Extent& a, const Extent& b);
Extent operator*(const Extent& a, std::int64_t factor);

using Shape = std::vector<Extent>;

/// "rows", "sequences + 1", "64".
std::string to_string(const Extent& extent);
/// "[rows, 64]".
std::string to_string(const Shape& shape);

/// Product of the extents under `b`.
std::int64_t count(const Shape& shape, const Bindings& b);

}  // namespace graft::core
