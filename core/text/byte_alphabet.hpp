// The byte alphabet of byte-level tokenizers: one printable character for each of the 256 bytes.
#pragma once
#include <string>
#include <string_view>

namespace graft::core {

/// The character of a byte: itself for 21-7E, A1-AC, AE-FF; the other 68 bytes, in order, are
/// U+0100, U+0101, ...
char32_t character_of_byte(unsigned char byte);
/// The same as UTF-8.
std::string_view text_of_byte(unsigned char byte);
/// The byte of a character, or -1.
int byte_of_character(char32_t character);

/// Bytes that `piece` stands for: through the alphabet when all its characters are in it, else its
/// own UTF-8.
void append_bytes_of_piece(std::string& out, std::string_view piece);

}  // namespace graft::core
