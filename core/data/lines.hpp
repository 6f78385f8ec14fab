// The pieces of a data file: lines of JSONL, or paragraphs of plain text.
#pragma once
#include <cstdint>
#include <string_view>

namespace graft::core {

enum class Pieces { kLines, kParagraphs };

struct Piece {
  std::uint64_t begin = 0, end = 0;  // bytes of the file, no line break at the end
  std::int64_t line = 0;             // number of its first line, from 1
};

/// Goes through the pieces of a text; empty ones (white space alone) are passed over.
class PieceReader {
 public:
  /// `at` is where a piece begins, for reading one piece again.
  PieceReader(std::string_view text, Pieces pieces, std::uint64_t at = 0)
      : text_(text), pieces_(pieces), at_(at) {}
  bool next(Piece& piece);

 private:
  /// The line at at_, without its break, and steps over it.
  std::string_view take_line();

  std::string_view text_;
  Pieces pieces_;
  std::uint64_t at_;
  std::int64_t line_ = 0;  // lines taken
};

}  // namespace graft::core
