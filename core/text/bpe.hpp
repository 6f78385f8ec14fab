// Third stage of a tokenizer: byte-pair encoding of one piece.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text/unit.hpp"
#include "core/text/vocabulary.hpp"

namespace graft::core {

struct BpeOptions {
  std::string unk;  // token for characters outside the vocabulary; empty drops them
  bool fuse_unk = false;
  bool ignore_merges = false;  // a piece that is in the vocabulary is one token
  bool byte_fallback = false;  // a character outside the vocabulary becomes tokens like <0x0A>
  std::string prefix, suffix;  // of every character but the first, and of the last
};

class Bpe {
 public:
  struct Merge {
    std::string_view left, right;
  };
  Bpe() = default;
  /// Merges by rank. Throws GRAFT_E_INVALID on a merge whose parts or result are not in the
  /// vocabulary. `who` names the source.
  Bpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges, BpeOptions options,
      std::string_view who);
  /// SentencePiece's: two neighbours merge where their text is in the vocabulary, highest score
  /// first. `scores` by id; ids whose score is not a number are no result of a merge.
  static Bpe by_score(const Vocabulary& vocabulary, const std::vector<float>& scores,
                      BpeOptions options, std::string_view who);

  /// Whether characters outside the vocabulary have a token, so that none is dropped.
  bool has_unknown() const { return unk_ >= 0; }

  /// Memory that encode() uses again from piece to piece.
  struct Workspace {
    struct Symbol {
      std::int32_t id = 0;
      std::uint32_t bytes = 0;
      std::uint32_t rank = 0;   // of merging it with the one after it
      std::int32_t merged = 0;  // what that would give
      std::int32_t before = 0, after = 0;
    };
    std::vector<Symbol> symbols;
    std::vector<std::uint64_t> queue;  // rank and place
    std::string text;
  };
  /// Appends the tokens of `piece`; `byte_level`: its bytes are characters of the byte alphabet.
  void encode(const Vocabulary& vocabulary, std::string_view piece, bool byte_level,
              Workspace& workspace, std::vector<Unit>& out) const;

 private:
  static constexpr std::uint32_t never = ~std::uint32_t{0};
  struct Slot {
    std::uint64_t pair = ~std::uint64_t{0};
    std::uint32_t rank = never;
    std::int32_t id = 0;
  };
  Bpe(const Vocabulary& vocabulary, BpeOptions options, std::string_view who);
  void reserve(std::size_t pairs);
  void add_pair(std::int32_t left, std::int32_t right, std::uint32_t rank, std::int32_t id);
  void prefetch_pair(std::int32_t left, std::int32_t right) const;
  /// Where the pair is, or would be.
  std::size_t slot_of(std::uint64_t pair) const;
  void rate(Workspace::Symbol& left, const Workspace::Symbol& right) const;

  void add_bytes(std::string_view piece, std::vector<Workspace::Symbol>& out) const;
  void add_characters(const Vocabulary& vocabulary, std::string_view piece, bool byte_level,
                      Workspace& workspace) const;
  void merge_few(std::vector<Workspace::Symbol>& symbols) const;
  void merge_many(Workspace& workspace) const;

  std::vector<Slot> slots_ = std::vector<Slot>(1);  // open addressing over a power of two
  std::size_t used_ = 0;
  std::array<std::int32_t, 256> byte_ids_{};      // of the byte alphabet's characters
  std::array<std::int32_t, 256> fallback_ids_{};  // of <0x00> to <0xFF>
  std::array<std::int32_t, 128> ascii_ids_{};
  std::int32_t unk_ = -1;
  BpeOptions options_;
};

}  // namespace graft::core
