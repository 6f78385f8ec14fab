#include "core/text/base64.hpp"

#include <cstdint>

#include "core/base/error.hpp"

namespace graft::core {

std::string base64_bytes(std::string_view text, std::string_view who) {
  constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  signed char values[256];
  for (signed char& value : values) value = -1;
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<signed char>(i);
  }
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() / 4 * 3 + 3);
  std::uint32_t bits = 0;
  int count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const signed char value = values[static_cast<unsigned char>(text[i])];
    if (value < 0) {
      throw Error(GRAFT_E_INVALID,
                  cat(who, ": character ", i, " of a base64 text is none of ", "base64's."));
    }
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>((bits >> count) & 0xFF);
    }
  }
  return out;
}

}  // namespace graft::core
