// Cutting a text at matches.
#pragma once
#include <vector>

#include "core/text/pre_tokenizer.hpp"

namespace graft::core {

/// Appends to `out` the pieces of [0, size) that splitting at `matches` (in order, disjoint) gives.
/// `invert` swaps matches and what lies between them. No piece is empty.
void split_range(std::size_t size, const std::vector<TextRange>& matches, SplitBehavior behavior,
                 bool invert, std::vector<TextRange>& out);

}  // namespace graft::core
