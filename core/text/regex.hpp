// Regular expressions of tokenizers: Perl syntax with Unicode classes and look-ahead, by PCRE2.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace graft::core {

/// A half-open range of bytes within a text.
struct TextRange {
  std::size_t begin = 0, end = 0;
};

/// A compiled expression. Immutable; any number of threads may use one at a time.
class Regex {
 public:
  /// Throws GRAFT_E_INVALID with the place of the mistake. `who` names the source.
  Regex(std::string_view pattern, std::string_view who);
  /// Appends the matches in `text`, which must be UTF-8, from left to right; empty ones are left
  /// out. Throws GRAFT_E_INVALID when the expression needs more steps or memory than allowed.
  void matches(std::string_view text, std::vector<TextRange>& out) const;

 private:
  std::shared_ptr<const void> code_;
  std::string pattern_;
};

}  // namespace graft::core
