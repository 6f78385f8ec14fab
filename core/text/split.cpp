#include "core/text/split.hpp"

#include <algorithm>

namespace graft::core {
namespace {

/// Whether two parts that touch become one piece. A part is a delimiter or lies between delimiters.
bool joined(SplitBehavior behavior, bool left_delimits, bool right_delimits) {
  switch (behavior) {
    case SplitBehavior::merged_with_previous:
      return !left_delimits && right_delimits;
    case SplitBehavior::merged_with_next:
      return left_delimits && !right_delimits;
    case SplitBehavior::contiguous:
      return left_delimits == right_delimits;
    case SplitBehavior::removed:
    case SplitBehavior::isolated:
      break;
  }
  return false;
}

}  // namespace

void split_range(TextRange range, const std::vector<TextRange>& matches, SplitBehavior behavior,
                 bool invert, std::vector<TextRange>& out) {
  const bool keeps_delimiters = behavior != SplitBehavior::removed;
  const std::size_t before = out.size();
  bool first = true, last_delimits = false;
  const auto add = [&](std::size_t begin, std::size_t end, bool delimits) {
    if (!first && joined(behavior, last_delimits, delimits)) {
      out.back().end = end;
    } else if (keeps_delimiters || !delimits) {
      out.push_back({begin, end});
    }
    first = false;
    last_delimits = delimits;
  };
  std::size_t at = range.begin;
  for (const TextRange& match : matches) {
    if (match.begin > at) add(at, match.begin, invert);
    add(match.begin, match.end, !invert);
    at = match.end;
  }
  if (range.end > at) add(at, range.end, invert);
  const auto empty = [](const TextRange& piece) { return piece.begin == piece.end; };
  out.erase(std::remove_if(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(), empty),
            out.end());
}

}  // namespace graft::core
