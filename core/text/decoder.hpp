// Last stage of a tokenizer, the other way: pieces to text.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"

namespace graft::core {

class Decoder {
 public:
  Decoder() = default;
  /// From the "decoder" of a tokenizer.json. Throws GRAFT_E_INVALID with the name of a kind that
  /// is not supported.
  Decoder(const Json& config, std::string_view who);
  static Decoder byte_level();

  std::string text(const std::vector<std::string_view>& pieces) const;
  /// The bytes of a piece in mid-text.
  std::string bytes(std::string_view piece) const;

 private:
  bool byte_level_ = false;  // else pieces are joined with single spaces
};

}  // namespace graft::core
