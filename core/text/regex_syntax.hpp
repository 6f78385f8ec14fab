// The syntax of regular expressions in tokenizer.json, which is Ruby's.
#pragma once
#include <string>
#include <string_view>

namespace graft::core {

/// The same expression in PCRE2's syntax. Different are: ^ and $ (of lines), \w (with marks), \h, \uHHHH, {,n},
/// the flag m, classes inside of classes and &&. `who` names the source in errors (GRAFT_E_INVALID).
std::string perl_syntax(std::string_view ruby, std::string_view who);

}  // namespace graft::core
