// Cutting a text at matches.
#pragma once
#include <vector>

#include "core/text/aligned.hpp"

namespace graft::core {

/// What becomes of the matches that a text is split at.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Appends to `out` the pieces of `range` that splitting at `matches` (within it, in order,
/// disjoint) gives. `invert` swaps matches and what lies between them. No piece is empty.
void split_range(TextRange range, const std::vector<TextRange>& matches, SplitBehavior behavior,
                 bool invert, std::vector<TextRange>& out);

}  // namespace graft::core
