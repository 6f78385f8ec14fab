// Third stage of a tokenizer: pieces to tokens, by one of four kinds of model.
#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/text/bpe.hpp"
#include "core/text/unigram.hpp"
#include "core/text/word_models.hpp"

namespace graft::core {

using TextModel = std::variant<Bpe, Unigram, WordPiece, WordLevel>;

/// What encoding uses again from piece to piece, and tokens of pieces seen before. One call of
/// encode() uses one at a time.
class ModelMemory {
 public:
  /// The tokens of a piece; good until the next call.
  const std::vector<Unit>& encode(const TextModel& model, const Vocabulary& vocabulary,
                                  std::string_view piece, bool byte_level);

 private:
  /// A cache line: a short piece and its tokens, which lie one behind the other.
  struct Entry {
    static constexpr std::size_t longest = 32, most = 6;
    std::uint8_t size = 0, count = 0;
    std::uint8_t ends[most] = {};
    std::int32_t ids[most] = {};
    char piece[longest] = {};
  };
  void remember(Entry& entry, std::string_view piece) const;
  void encode_anew(const TextModel& model, const Vocabulary& vocabulary, std::string_view piece,
                   bool byte_level);

  std::vector<Entry> entries_;
  std::vector<Unit> units_;
  Bpe::Workspace bpe_;
  Unigram::Workspace unigram_;
  std::string text_;
};

}  // namespace graft::core
