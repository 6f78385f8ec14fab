// Last stage of a tokenizer: pieces of the vocabulary back to text.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"

namespace graft::core {

/// Changes the pieces of a whole text.
using DecoderStep = std::function<void(std::vector<std::string>& pieces)>;

class Decoder {
 public:
  /// Joins pieces with single spaces.
  Decoder() = default;
  /// From the "decoder" of a tokenizer.json. Throws GRAFT_E_INVALID with the name of a kind that
  /// is not supported.
  Decoder(const Json& config, std::string_view who);
  /// Applies the steps one after the other and joins what comes out without spaces.
  static Decoder of(std::vector<DecoderStep> steps);  // streams by pieces
  static Decoder byte_level();

  std::string text(const std::vector<std::string_view>& pieces) const;

  /// What the text of some pieces says of that of more.
  enum class Streaming {
    bytes,   // texts are bytes of pieces, one behind the other
    pieces,  // it is the beginning, unless it ends in byte pieces
    no       // nothing
  };
  Streaming streaming() const { return streaming_; }
  static void append_bytes(std::string& out, std::string_view piece);
  /// Whether a piece is one like <0x0A>.
  static bool is_byte(std::string_view piece);

 private:
  Streaming streaming_ = Streaming::pieces;
  bool joins_with_spaces_ = true;
  std::vector<DecoderStep> steps_;
};

// Steps that other loaders use too.
DecoderStep replace_in_pieces(std::string text, std::string by);
DecoderStep bytes_of_fallback();
DecoderStep strip_pieces(std::string character, std::size_t from_start, std::size_t from_end);
DecoderStep join_pieces();
DecoderStep word_pieces(std::string prefix, bool cleanup);
DecoderStep metaspaces(std::string replacement, bool drops_first);

/// Takes out the spaces before punctuation that older tokenizers leave, as transformers does on
/// request (clean_up_tokenization_spaces).
std::string clean_up_spaces(std::string text);

}  // namespace graft::core
