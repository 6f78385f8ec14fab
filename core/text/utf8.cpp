#include "core/text/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace graft::core {

char32_t utf8_next(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const char32_t first = byte(at);
  if (first < 0x80) {
    at += 1;
    return first;
  }
  const auto tail = [&](std::size_t i) { return static_cast<char32_t>(byte(at + i) & 0x3F); };
  if (first < 0xE0) {
    const char32_t value = ((first & 0x1F) << 6) | tail(1);
    at += 2;
    return value;
  }
  if (first < 0xF0) {
    const char32_t value = ((first & 0x0F) << 12) | (tail(1) << 6) | tail(2);
    at += 3;
    return value;
  }
  const char32_t value = ((first & 0x07) << 18) | (tail(1) << 12) | (tail(2) << 6) | tail(3);
  at += 4;
  return value;
}

char32_t utf8_before(std::string_view text, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && is_utf8_continuation(text[at])) --at;
  return utf8_next(text, at);
}

bool is_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint64_t eight = 0;
    if (at + 8 <= text.size()) {
      std::memcpy(&eight, text.data() + at, 8);
      if ((eight & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    // Two bytes and three without those that few texts have: most of what is not ASCII.
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
    if (byte(0) < 0x80) {
      ++at;
      continue;
    }
    if (at + 3 <= text.size() && is_utf8_continuation(text[at + 1])) {
      if (byte(0) >= 0xC2 && byte(0) <= 0xDF) {
        at += 2;
        continue;
      }
      if (byte(0) > 0xE0 && byte(0) < 0xED && is_utf8_continuation(text[at + 2])) {
        at += 3;
        continue;
      }
    }
    const std::size_t length = utf8_length(text.substr(at));
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string utf8_lossy(std::string_view text) {
  if (is_utf8(text)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    std::size_t bad = 0;
    const std::size_t length = utf8_length(text.substr(at), &bad);
    out.append(length != 0 ? text.substr(at, length) : utf8_replacement);
    at += length != 0 ? length : bad;
  }
  return out;
}

std::size_t utf8_unfinished(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const std::size_t at = text.size() - back;
    if (is_utf8_continuation(text[at])) continue;
    std::size_t bad = 0;
    const auto lead = static_cast<unsigned char>(text[at]);
    const bool begins = lead >= 0xC2 && lead <= 0xF4;
    return begins && utf8_length(text.substr(at), &bad) == 0 && bad == back ? back : 0;
  }
  return 0;
}

}  // namespace graft::core
