#include "core/text/split.hpp"

#include <algorithm>

namespace graft::core {
namespace {

struct Part {
  TextRange range;
  bool match = false;
};

/// Joins each match to the part it meets first in the order given, unless that is a match too.
void join_matches(const std::vector<Part>& parts, bool forward, std::vector<TextRange>& out) {
  const std::size_t start = out.size();
  bool after_match = false;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Part& part = forward ? parts[i] : parts[parts.size() - 1 - i];
    if (part.match && !after_match && out.size() > start) {
      (forward ? out.back().end : out.back().begin) = forward ? part.range.end : part.range.begin;
    } else {
      out.push_back(part.range);
    }
    after_match = part.match;
  }
  if (!forward) std::reverse(out.begin() + static_cast<std::ptrdiff_t>(start), out.end());
}

void join_equal(const std::vector<Part>& parts, std::vector<TextRange>& out) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && parts[i].match == parts[i - 1].match) {
      out.back().end = parts[i].range.end;
    } else {
      out.push_back(parts[i].range);
    }
  }
}

}  // namespace

void split_range(std::size_t size, const std::vector<TextRange>& matches, SplitBehavior behavior,
                 bool invert, std::vector<TextRange>& out) {
  if (behavior == SplitBehavior::isolated) {
    std::size_t at = 0;
    for (const TextRange& match : matches) {
      if (match.begin > at) out.push_back({at, match.begin});
      out.push_back(match);
      at = match.end;
    }
    if (at < size) out.push_back({at, size});
    return;
  }
  std::vector<Part> parts;
  std::size_t at = 0;
  for (const TextRange& match : matches) {
    if (match.begin > at) parts.push_back({{at, match.begin}, invert});
    parts.push_back({match, !invert});
    at = match.end;
  }
  if (at < size) parts.push_back({{at, size}, invert});
  switch (behavior) {
    case SplitBehavior::merged_with_previous:
      return join_matches(parts, true, out);
    case SplitBehavior::merged_with_next:
      return join_matches(parts, false, out);
    case SplitBehavior::contiguous:
      return join_equal(parts, out);
    case SplitBehavior::isolated:
    case SplitBehavior::removed:
      for (const Part& part : parts) {
        if (!part.match) out.push_back(part.range);
      }
  }
}

}  // namespace graft::core
