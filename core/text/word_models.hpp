// Models of whole words: WordPiece and WordLevel.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/unit.hpp"
#include "core/text/vocabulary.hpp"

namespace graft::core {

/// The longest pieces from left to right; a word that these do not make up is one unknown token.
class WordPiece {
 public:
  /// `unk` must be in the vocabulary (GRAFT_E_INVALID).
  WordPiece(const Vocabulary& vocabulary, std::string_view unk, std::string prefix,
            std::size_t most_characters, std::string_view who);
  void encode(const Vocabulary& vocabulary, std::string_view piece, std::string& buffer,
              std::vector<Unit>& out) const;

 private:
  std::int32_t unk_;
  std::string prefix_;  // of every part but the first
  std::size_t most_characters_, longest_ = 0;
};

class WordLevel {
 public:
  /// `unk` may be missing from the vocabulary: then unknown words are dropped.
  WordLevel(const Vocabulary& vocabulary, std::string_view unk) : unk_(vocabulary.find(unk)) {}
  void encode(const Vocabulary& vocabulary, std::string_view piece, std::vector<Unit>& out) const {
    std::int32_t id = vocabulary.find(piece);
    if (id < 0) id = unk_;
    if (id >= 0) out.push_back({id, 0, static_cast<std::uint32_t>(piece.size())});
  }

 private:
  std::int32_t unk_;
};

}  // namespace graft::core
