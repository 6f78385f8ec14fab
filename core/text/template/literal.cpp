#include "core/text/template/literal.hpp"

#include "core/base/utf8.hpp"
#include "core/text/template/lexer.hpp"

namespace graft::core::jinja {
namespace {

int digit(char c, int base) {
  const int value = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : 99;
  return value < base ? value : -1;
}

/// The escape behind the backslash at `at` - 1.
void escape(std::string_view source, std::size_t& at, std::string& out) {
  constexpr std::string_view names = "abfnrtv\\'\"";
  constexpr std::string_view values = "\a\b\f\n\r\t\v\\'\"";
  const char c = source[at];
  if (c == '\n') {
    ++at;
    return;
  }
  if (const std::size_t known = names.find(c); known != names.npos) {
    out += values[known];
    ++at;
    return;
  }
  const bool octal = digit(c, 8) >= 0;
  if (c == 'N') throw SyntaxFailure("characters by name are not supported", at - 1);
  const std::size_t most = octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (most == 0) {
    out += '\\';
    return;
  }
  const std::size_t start = at - 1;
  if (!octal) ++at;
  std::uint32_t code = 0;
  std::size_t count = 0;
  for (; count < most && at < source.size(); ++count, ++at) {
    const int value = digit(source[at], octal ? 8 : 16);
    if (value < 0) break;
    code = code * (octal ? 8 : 16) + static_cast<std::uint32_t>(value);
  }
  if ((!octal && count < most) || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
    throw SyntaxFailure("the escape is not one character", start);
  }
  append_utf8(out, code);
}

}  // namespace

std::string string_literal(std::string_view source, std::size_t& at) {
  const std::size_t begin = at;
  const char quote = source[at++];
  std::string out;
  while (at < source.size() && source[at] != quote) {
    if (source[at] != '\\' || at + 1 == source.size()) {
      out += source[at++];
      continue;
    }
    ++at;
    escape(source, at, out);
  }
  if (at == source.size()) throw SyntaxFailure("the string has no end", begin);
  ++at;
  return out;
}

}  // namespace graft::core::jinja
