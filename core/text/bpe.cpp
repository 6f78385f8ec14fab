#include "core/text/bpe.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/text/byte_alphabet.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

constexpr std::size_t longest_piece = std::size_t{1} << 30;

std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
  return x ^ (x >> 33);
}

/// The heap's top is the lowest rank, leftmost among equals.
bool later(const Bpe::Workspace::Candidate& a, const Bpe::Workspace::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
}

}  // namespace

Bpe::Bpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges, const BpeOptions& options,
         std::string_view who)
    : fuse_unk_(options.fuse_unk), ignore_merges_(options.ignore_merges) {
  const auto require = [&](std::string_view piece, std::size_t rank) {
    const std::int32_t id = vocabulary.find(piece);
    if (id >= 0 && !piece.empty()) return id;
    throw Error(GRAFT_E_INVALID, cat(who, ": merge ", rank, " ('", merges[rank].first, "' with '",
                                     merges[rank].second, "') needs '", piece,
                                     "', which is not in the vocabulary."));
  };
  if (!options.unk.empty()) {
    unk_ = vocabulary.find(options.unk);
    if (unk_ < 0) {
      throw Error(GRAFT_E_INVALID,
                  cat(who, ": the unk_token '", options.unk, "' is not in the vocabulary."));
    }
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = vocabulary.find(text_of_byte(static_cast<unsigned char>(byte)));
  }
  std::size_t capacity = 16;
  while (capacity < 2 * merges.size()) capacity *= 2;
  slots_.assign(capacity, Slot());
  std::string joined;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    joined.assign(left).append(right);
    const std::uint64_t pair = key(require(left, rank), require(right, rank));
    slots_[slot_of(pair)] = {pair, static_cast<std::uint32_t>(rank), require(joined, rank)};
  }
}

std::size_t Bpe::slot_of(std::uint64_t pair) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = mix(pair) & mask;
  while (slots_[at].pair != pair && slots_[at].pair != no_pair) at = (at + 1) & mask;
  return at;
}

const Bpe::Slot* Bpe::find(std::int32_t left, std::int32_t right) const {
  const Slot& slot = slots_[slot_of(key(left, right))];
  return slot.pair != no_pair ? &slot : nullptr;
}

void Bpe::add_symbols(const Vocabulary& vocabulary, std::string_view piece, bool byte_level,
                      std::vector<Workspace::Symbol>& out) const {
  Unit unk{-1, 0};  // an unknown character that waits: fuse_unk may make it longer
  const auto add = [&](std::int32_t id, std::size_t bytes) {
    out.push_back({id, static_cast<std::uint32_t>(bytes), 0, 0});
  };
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t length = byte_level ? 1 : utf8_length_at(piece, at);
    const std::int32_t id = byte_level ? byte_ids_[static_cast<unsigned char>(piece[at])]
                                       : vocabulary.find(piece.substr(at, length));
    at += length;
    if (id >= 0) {
      if (unk.id >= 0) add(unk.id, unk.bytes);
      unk.id = -1;
      add(id, length);
    } else if (unk_ >= 0) {
      if (unk.id >= 0 && !fuse_unk_) add(unk.id, unk.bytes);
      const std::uint32_t before = unk.id >= 0 && fuse_unk_ ? unk.bytes : 0;
      unk = {unk_, before + static_cast<std::uint32_t>(length)};
    }
  }
  if (unk.id >= 0) add(unk.id, unk.bytes);
}

void Bpe::merge(Workspace& workspace) const {
  std::vector<Workspace::Symbol>& symbols = workspace.symbols;
  std::vector<Workspace::Candidate>& heap = workspace.heap;
  const auto symbol = [&](std::int32_t at) -> Workspace::Symbol& {
    return symbols[static_cast<std::size_t>(at)];
  };
  const auto offer = [&](std::int32_t at) {
    const Workspace::Symbol& left = symbol(at);
    if (left.next < 0) return false;
    const Slot* slot = find(left.id, symbol(left.next).id);
    if (slot == nullptr) return false;
    heap.push_back({slot->rank, at, slot->id});
    return true;
  };
  const auto count = static_cast<std::int32_t>(symbols.size());
  heap.clear();
  for (std::int32_t i = 0; i < count; ++i) {
    symbol(i).previous = i - 1;
    symbol(i).next = i + 1 < count ? i + 1 : -1;
    offer(i);
  }
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    const Workspace::Candidate best = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    Workspace::Symbol& left = symbol(best.at);
    if (left.bytes == 0 || left.next < 0) continue;
    Workspace::Symbol& right = symbol(left.next);
    // Stale unless the pair that is there now still gives the same token.
    const Slot* slot = find(left.id, right.id);
    if (slot == nullptr || slot->id != best.id) continue;
    left.id = best.id;
    left.bytes += right.bytes;
    left.next = right.next;
    right.bytes = 0;
    if (left.next >= 0) symbol(left.next).previous = best.at;
    if (left.previous >= 0 && offer(left.previous)) std::push_heap(heap.begin(), heap.end(), later);
    if (offer(best.at)) std::push_heap(heap.begin(), heap.end(), later);
  }
}

void Bpe::encode(const Vocabulary& vocabulary, std::string_view piece, bool byte_level,
                 Workspace& workspace, std::vector<Unit>& out) const {
  if (piece.size() > longest_piece) {
    throw Error(GRAFT_E_INVALID, cat("a piece of ", piece.size(), " bytes is too long to encode; ",
                                     "the limit is ", longest_piece, "."));
  }
  if (ignore_merges_) {
    workspace.mapped.clear();
    for (const char byte : piece) {
      if (byte_level) {
        workspace.mapped.append(text_of_byte(static_cast<unsigned char>(byte)));
      } else {
        workspace.mapped.push_back(byte);
      }
    }
    const std::int32_t whole = vocabulary.find(workspace.mapped);
    if (whole >= 0) {
      out.push_back({whole, static_cast<std::uint32_t>(piece.size())});
      return;
    }
  }
  workspace.symbols.clear();
  add_symbols(vocabulary, piece, byte_level, workspace.symbols);
  merge(workspace);
  for (const Workspace::Symbol& symbol : workspace.symbols) {
    if (symbol.bytes != 0) out.push_back({symbol.id, symbol.bytes});
  }
}

}  // namespace graft::core
