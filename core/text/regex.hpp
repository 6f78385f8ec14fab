// Regular expressions of tokenizers: Ruby's syntax (regex_syntax.hpp) with Unicode classes and look-ahead, matched by PCRE2.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/aligned.hpp"

namespace graft::core {

/// A compiled expression. Immutable; any number of threads may use one at a time.
class Regex {
 public:
  /// Throws GRAFT_E_INVALID with the place of the mistake. `who` names the source.
  Regex(std::string_view pattern, std::string_view who);
  enum class Empty { left_out, included };
  /// Appends the matches in `text`, which must be UTF-8, from left to right. An empty one right
  /// behind another match is none. Throws GRAFT_E_INVALID when the expression needs more steps or
  /// memory than allowed.
  void matches(std::string_view text, std::vector<TextRange>& out,
               Empty empty = Empty::left_out) const;

 private:
  std::shared_ptr<const void> code_;
  std::string pattern_;
  bool jit_ = false;
};

/// Whether PCRE2 takes it, as it is.
bool is_perl_expression(std::string_view pattern);

}  // namespace graft::core
