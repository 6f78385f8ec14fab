// UTF-8, one code point at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace graft::core {

/// Bytes of the well-formed code point that `text` begins with (Unicode table 3-7: no overlong
/// forms, no surrogates, nothing above U+10FFFF), or 0. `bad` then gets the length of the maximal
/// part that one U+FFFD stands for.
inline std::size_t utf8_length(std::string_view text, std::size_t* bad = nullptr) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.empty()) {
    if (bad != nullptr) *bad = 0;
    return 0;
  }
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  // The second byte's range is narrower after these leads.
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  std::size_t length = 0;
  if (lead >= 0xC2 && lead <= 0xDF) length = 2;
  if (lead >= 0xE0 && lead <= 0xEF) length = 3;
  if (lead >= 0xF0 && lead <= 0xF4) length = 4;
  std::size_t good = 1;
  while (good < length && good < text.size() && byte(good) >= (good == 1 ? low : 0x80) &&
         byte(good) <= (good == 1 ? high : 0xBF)) {
    ++good;
  }
  if (length != 0 && good == length) return length;
  if (bad != nullptr) *bad = good;
  return 0;
}

/// Offset of the first byte that is not part of well-formed UTF-8, or the size when all is well.
inline std::size_t utf8_error(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = utf8_length(text.substr(at));
    if (length == 0) break;
    at += length;
  }
  return at;
}

/// The largest size of at most `limit` bytes that cuts well-formed `text` between code points.
inline std::size_t utf8_cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text.size();
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  return limit;
}

/// Appends a scalar value (at most 0x10FFFF, no surrogate).
inline void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | (code >> 6));
  } else {
    if (code < 0x10000) {
      put(0xE0 | (code >> 12));
    } else {
      put(0xF0 | (code >> 18));
      put(0x80 | ((code >> 12) & 0x3F));
    }
    put(0x80 | ((code >> 6) & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

}  // namespace graft::core
