#include "core/text/decoder.hpp"

#include "core/text/byte_alphabet.hpp"
#include "core/text/config.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {

Decoder::Decoder(const Json& config, std::string_view who) {
  if (config.is_null()) return;
  const std::string type = type_of(config, "decoder", who);
  if (type != "ByteLevel") refuse_kind("decoder", type, "ByteLevel, null", who);
  byte_level_ = true;
}

Decoder Decoder::byte_level() {
  Decoder out;
  out.byte_level_ = true;
  return out;
}

std::string Decoder::text(const std::vector<std::string_view>& pieces) const {
  std::string out;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (byte_level_) {
      append_bytes_of_piece(out, pieces[i]);
    } else {
      out.append(i > 0 ? " " : "").append(pieces[i]);
    }
  }
  return byte_level_ ? utf8_lossy(out) : out;
}

std::string Decoder::bytes(std::string_view piece) const {
  if (!byte_level_) return " " + std::string(piece);
  std::string out;
  append_bytes_of_piece(out, piece);
  return out;
}

}  // namespace graft::core
