// UTF-8 in tokenizers: decoding, and replacing what is not UTF-8.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "core/base/utf8.hpp"

namespace graft::core {

inline bool is_utf8_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

/// The code point at `at`, which moves behind it. `text` must be UTF-8 there.
char32_t utf8_next(std::string_view text, std::size_t& at);
/// The code point that ends before `end`.
char32_t utf8_before(std::string_view text, std::size_t end);

bool is_utf8(std::string_view text);
/// `text` with each maximal invalid part replaced by U+FFFD.
std::string utf8_lossy(std::string_view text);

/// How many bytes at the end of `text` are the beginning of a character that more bytes may end.
std::size_t utf8_unfinished(std::string_view text);

inline constexpr std::string_view utf8_replacement = "\xEF\xBF\xBD";

}  // namespace graft::core
