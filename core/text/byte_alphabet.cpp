#include "core/text/byte_alphabet.hpp"

#include <array>

#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

constexpr std::size_t alphabet_end = 256 + 68;

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<std::string, 256> text;
  std::array<int, alphabet_end> byte{};
  Alphabet() {
    byte.fill(-1);
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      const auto index = static_cast<std::size_t>(b);
      character[index] = printable ? static_cast<char32_t>(b) : next++;
      append_utf8(text[index], character[index]);
      byte[character[index]] = b;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

char32_t character_of_byte(unsigned char byte) {
  return alphabet().character[byte];
}

std::string_view text_of_byte(unsigned char byte) {
  return alphabet().text[byte];
}

int byte_of_character(char32_t character) {
  return character < alphabet_end ? alphabet().byte[character] : -1;
}

void append_bytes_of_piece(std::string& out, std::string_view piece) {
  const std::size_t start = out.size();
  for (std::size_t at = 0; at < piece.size();) {
    const int byte = byte_of_character(utf8_next(piece, at));
    if (byte < 0) {
      out.resize(start);
      out.append(piece);
      return;
    }
    out.push_back(static_cast<char>(byte));
  }
}

}  // namespace graft::core
