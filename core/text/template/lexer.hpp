// Template source to tokens.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/template/limits.hpp"

namespace graft::core::jinja {

enum class TokenKind {
  data,         // text between tags
  block_begin,  // {%
  block_end,
  print_begin,  // {{
  print_end,
  name,
  text,  // a string literal, unescaped
  integer,
  real,
  symbol,  // an operator or bracket
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;
  std::size_t at = 0;  // byte in the source
};

/// A mistake at a byte of the source.
class SyntaxFailure : public Failure {
 public:
  SyntaxFailure(const std::string& message, std::size_t at) : Failure(message), at_(at) {}
  std::size_t at() const { return at_; }

 private:
  std::size_t at_;
};

/// Tokens of a source whose line ends are "\n", with trim_blocks and lstrip_blocks: a newline right
/// after a block or comment vanishes, and so does the white space before one on its line.
std::vector<Token> lex(std::string_view source);

/// `source` as Jinja reads it: every line end is "\n", and the last one is dropped.
std::string normalize_source(std::string_view source);

}  // namespace graft::core::jinja
