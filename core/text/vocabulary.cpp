#include "core/text/vocabulary.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

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

Vocabulary::Vocabulary(const std::vector<Entry>& entries, TextArena arena, std::string_view who)
    : arena_(std::move(arena)), count_(static_cast<std::int64_t>(entries.size())) {
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
  slots_.assign(capacity, -1);
  for (const Entry& entry : entries) {
    std::string_view& piece = pieces_[static_cast<std::size_t>(entry.id)];
    if (piece.data() != nullptr) {
      throw Error(GRAFT_E_INVALID, cat(who, ": '", piece, "' and '", entry.piece,
                                       "' have the same id ", entry.id, "."));
    }
    const std::size_t at = slot(entry.piece);
    if (slots_[at] >= 0) {
      throw Error(GRAFT_E_INVALID, cat(who, ": '", entry.piece, "' has two ids, ", slots_[at],
                                       " and ", entry.id, "."));
    }
    piece = entry.piece;
    slots_[at] = static_cast<std::int32_t>(entry.id);
  }
}

std::size_t Vocabulary::slot(std::string_view piece) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = std::hash<std::string_view>()(piece) & mask;
  while (slots_[at] >= 0 && pieces_[static_cast<std::size_t>(slots_[at])] != piece) {
    at = (at + 1) & mask;
  }
  return at;
}

std::int32_t Vocabulary::find(std::string_view piece) const {
  return slots_.empty() ? -1 : slots_[slot(piece)];
}

}  // namespace graft::core
