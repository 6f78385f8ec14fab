#include "core/text/vocabulary.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

constexpr std::size_t block_size = std::size_t{1} << 18;

}  // namespace

std::string_view TextArena::keep(std::string_view text) {
  if (text.size() > left_ || next_ == nullptr) {
    const std::size_t size = std::max(block_size, text.size());
    blocks_.push_back(std::make_unique<char[]>(size));
    next_ = blocks_.back().get();
    left_ = size;
  }
  if (!text.empty()) std::memcpy(next_, text.data(), text.size());
  const std::string_view kept(next_, text.size());
  next_ += text.size();
  left_ -= text.size();
  return kept;
}

std::int64_t largest_id(std::int64_t count) {
  return std::min<std::int64_t>(std::int64_t{1} << 24, 8 * count + (std::int64_t{1} << 16));
}

Vocabulary::Vocabulary(std::span<const Entry> entries, std::string_view who, Repeats repeats)
    : count_(static_cast<std::int64_t>(entries.size())) {
  std::int64_t last = -1;
  for (const Entry& entry : entries) {
    if (entry.id < 0 || entry.id > largest_id(count_)) {
      throw Error(GRAFT_E_INVALID,
                  cat(who, ": the id ", entry.id, " of '", entry.piece, "' is out of range; with ",
                      count_, " pieces it must be 0 to ", largest_id(count_), "."));
    }
    last = std::max(last, entry.id);
  }
  pieces_.resize(static_cast<std::size_t>(last + 1));
  std::size_t capacity = 16;
  while (capacity < 2 * entries.size()) capacity *= 2;
  slots_.assign(capacity, Slot());
  // Some at a time: where they go lies all over the memory.
  std::array<std::uint64_t, 32> hashes{};
  for (std::size_t first = 0; first < entries.size(); first += hashes.size()) {
    const std::size_t count = std::min(hashes.size(), entries.size() - first);
    for (std::size_t i = 0; i < count; ++i) {
      hashes[i] = text_hash(entries[first + i].piece);
      prefetch_slot(hashes[i]);
    }
    for (std::size_t i = 0; i < count; ++i) add(entries[first + i], hashes[i], who, repeats);
  }
}

void Vocabulary::add(const Entry& entry, std::uint64_t hash, std::string_view who,
                     Repeats repeats) {
  std::string_view& piece = pieces_[static_cast<std::size_t>(entry.id)];
  if (piece.data() != nullptr) {
    throw Error(GRAFT_E_INVALID, cat(who, ": '", piece, "' and '", entry.piece,
                                     "' have the same id ", entry.id, "."));
  }
  Slot& free = slots_[slot(entry.piece, hash)];
  if (free.id >= 0 && repeats == Repeats::refused) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": '", entry.piece, "' has two ids, ", free.id, " and ", entry.id, "."));
  }
  piece = arena_.keep(entry.piece);
  free = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::int32_t>(entry.id)};
}

std::size_t Vocabulary::slot(std::string_view piece, std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  std::size_t at = hash & mask;
  while (slots_[at].id >= 0 &&
         (slots_[at].tag != tag || pieces_[static_cast<std::size_t>(slots_[at].id)] != piece)) {
    at = (at + 1) & mask;
  }
  return at;
}

std::uint64_t text_hash(std::string_view text) {
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15u;
  std::uint64_t hash = text.size() * odd;
  const auto add = [&](std::uint64_t word) {
    hash = (hash ^ word) * odd;
    hash ^= hash >> 29;
  };
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= 8; left -= 8, at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, 8);
    add(word);
  }
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < left; ++i) {
    word |= static_cast<std::uint64_t>(static_cast<unsigned char>(at[i])) << (8 * i);
  }
  add(word);
  return (hash ^ (hash >> 32)) * odd;
}

}  // namespace graft::core
