// Pieces and their ids, both ways.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace graft::core {

/// Keeps copies of texts at addresses that do not change.
class TextArena {
 public:
  std::string_view keep(std::string_view text);

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::size_t left_ = 0;
  char* next_ = nullptr;
};

/// A quick hash of a text; not safe against those who choose the text.
std::uint64_t text_hash(std::string_view text);

/// A model's vocabulary. Ids may have gaps and are unique. So are pieces, unless it is allowed that
/// several ids have one; then the last of them is found.
class Vocabulary {
 public:
  struct Entry {
    std::string_view piece;
    std::int64_t id = 0;
  };
  Vocabulary() = default;
  /// Copies the pieces. Throws GRAFT_E_INVALID on a piece or id that is there twice, and on an id that is negative or
  /// far beyond the number of pieces. `who` names the source in errors.
  enum class Repeats { refused, allowed };
  Vocabulary(std::span<const Entry> entries, std::string_view who,
             Repeats repeats = Repeats::refused);

  /// -1 where there is none.
  std::int32_t find(std::string_view piece) const { return find(piece, text_hash(piece)); }
  std::int32_t find(std::string_view piece, std::uint64_t hash) const {
    return slots_.empty() ? -1 : slots_[slot(piece, hash)].id;
  }
  /// Asks for the memory that find() of a piece with this hash will read; one step after the other, each for many
  /// pieces, before they are looked for.
  void prefetch_slot(std::uint64_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
  }
  void prefetch_piece(std::uint64_t hash) const {
    if (const std::int32_t id = likely_id(hash); id >= 0)
      __builtin_prefetch(&pieces_[static_cast<std::size_t>(id)]);
  }
  void prefetch_text(std::uint64_t hash) const {
    if (const std::int32_t id = likely_id(hash); id >= 0) {
      __builtin_prefetch(pieces_[static_cast<std::size_t>(id)].data());
    }
  }
  /// Empty where the id has no piece.
  std::string_view piece(std::int64_t id) const {
    return id >= 0 && id < size() ? pieces_[static_cast<std::size_t>(id)] : std::string_view();
  }
  bool has(std::int64_t id) const { return piece(id).data() != nullptr; }
  /// One more than the largest id, and the number of pieces.
  std::int64_t size() const { return static_cast<std::int64_t>(pieces_.size()); }
  std::int64_t count() const { return count_; }

 private:
  struct Slot {
    std::uint32_t tag = 0;  // upper half of the hash: most other pieces are told apart by it
    std::int32_t id = -1;   // -1: free
  };
  void add(const Entry& entry, std::uint64_t hash, std::string_view who, Repeats repeats);
  std::size_t slot(std::string_view piece, std::uint64_t hash) const;
  std::int32_t likely_id(std::uint64_t hash) const {
    return slots_.empty() ? -1 : slots_[hash & (slots_.size() - 1)].id;
  }

  TextArena arena_;
  std::vector<std::string_view> pieces_;
  std::vector<Slot> slots_;  // open addressing over a power of two
  std::int64_t count_ = 0;
};

/// The largest id that a vocabulary of `count` pieces may hold: room for gaps, none for an id made
/// to allocate.
std::int64_t largest_id(std::int64_t count);

}  // namespace graft::core
