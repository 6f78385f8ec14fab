// Third stage of a byte-level tokenizer: byte-pair encoding of one piece.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text/vocabulary.hpp"

namespace graft::core {

/// A token and how many bytes of the piece it covers.
struct Unit {
  std::int32_t id = 0;
  std::uint32_t bytes = 0;
};

struct BpeOptions {
  std::string_view unk;  // token for characters outside the vocabulary; empty drops them
  bool fuse_unk = false;
  bool ignore_merges = false;  // a piece that is in the vocabulary is one token
};

class Bpe {
 public:
  using Merge = std::pair<std::string_view, std::string_view>;
  Bpe() = default;
  /// Merges by rank. Throws GRAFT_E_INVALID on a merge whose parts or result are not in the
  /// vocabulary. `who` names the source.
  Bpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges, const BpeOptions& options,
      std::string_view who);

  /// Memory that encode() uses again from piece to piece.
  struct Workspace {
    struct Symbol {
      std::int32_t id;
      std::uint32_t bytes;  // 0: merged into the one before it
      std::int32_t previous, next;
    };
    struct Candidate {
      std::uint32_t rank;
      std::int32_t at, id;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
    std::string mapped;
  };
  /// Appends the tokens of `piece`; `byte_level`: its bytes are characters of the byte alphabet.
  void encode(const Vocabulary& vocabulary, std::string_view piece, bool byte_level,
              Workspace& workspace, std::vector<Unit>& out) const;

 private:
  static constexpr std::uint64_t no_pair = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t pair = no_pair;
    std::uint32_t rank = 0;
    std::int32_t id = 0;
  };
  static std::uint64_t key(std::int32_t left, std::int32_t right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
           static_cast<std::uint32_t>(right);
  }
  /// Where the pair is, or would be.
  std::size_t slot_of(std::uint64_t pair) const;
  /// Null where the two do not merge.
  const Slot* find(std::int32_t left, std::int32_t right) const;
  void add_symbols(const Vocabulary& vocabulary, std::string_view piece, bool byte_level,
                   std::vector<Workspace::Symbol>& out) const;
  void merge(Workspace& workspace) const;

  std::vector<Slot> slots_ = std::vector<Slot>(1);  // open addressing over a power of two
  std::array<std::int32_t, 256> byte_ids_{};
  std::int32_t unk_ = -1;
  bool fuse_unk_ = false;
  bool ignore_merges_ = false;
};

}  // namespace graft::core
