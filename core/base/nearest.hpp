// "Did you mean": the known names nearest to a misspelt one.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace graft::core {

/// How many single-character insertions, removals, replacements and swaps of neighbours turn `a`
/// into `b`. Letters compare without case. Only the first 256 bytes of each count.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The `how_many` candidates nearest to `word`, nearest first; ties keep their order.
std::vector<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates,
                                 std::size_t how_many);

/// The nearest candidate, if it is near enough to be what was meant.
std::optional<std::string> meant(std::string_view word, const std::vector<std::string>& candidates);

/// "Did you mean 'x'?", or "Known: a, b, c." where nothing is near; `what` is "Known keys", ....
std::string hint(std::string_view word, const std::vector<std::string>& candidates,
                 std::string_view what);

}  // namespace graft::core
