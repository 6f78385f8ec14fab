#include "core/data/lines.hpp"

#include <algorithm>

namespace graft::core {
namespace {

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

}  // namespace

std::string_view PieceReader::take_line() {
  const std::size_t end = std::min(text_.find('\n', at_), text_.size());
  std::string_view line = text_.substr(at_, end - at_);
  if (line.ends_with('\r')) line.remove_suffix(1);
  at_ = end + 1;
  ++line_;
  return line;
}

bool PieceReader::next(Piece& piece) {
  const auto offset = [&](const char* p) { return static_cast<std::uint64_t>(p - text_.data()); };
  std::string_view line;
  do {
    if (at_ >= text_.size()) return false;
    line = take_line();
  } while (is_blank(line));
  piece = {offset(line.data()), offset(line.data() + line.size()), line_};
  while (pieces_ == Pieces::kParagraphs && at_ < text_.size()) {
    line = take_line();
    if (is_blank(line)) break;
    piece.end = offset(line.data() + line.size());
  }
  return true;
}

}  // namespace graft::core
