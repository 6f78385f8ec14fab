#include "core/text/bpe.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <future>
#include <span>

#include "core/base/error.hpp"
#include "core/text/byte_alphabet.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

constexpr std::size_t longest_piece = std::size_t{1} << 30;
/// Up to here looking at all pairs beats a queue.
constexpr std::size_t few = 48;

std::uint64_t mix(std::uint64_t x) {
  x *= 0x9E3779B97F4A7C15u;
  return x ^ (x >> 32);
}

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}

}  // namespace

Bpe::Bpe(const Vocabulary& vocabulary, BpeOptions options, std::string_view who)
    : options_(std::move(options)) {
  if (!options_.unk.empty()) {
    unk_ = vocabulary.find(options_.unk);
    if (unk_ < 0) {
      throw Error(GRAFT_E_INVALID,
                  cat(who, ": the unk_token '", options_.unk, "' is not in the vocabulary."));
    }
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    constexpr char digits[] = "0123456789ABCDEF";
    const char name[] = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
    byte_ids_[byte] = vocabulary.find(text_of_byte(static_cast<unsigned char>(byte)));
    fallback_ids_[byte] = vocabulary.find({name, sizeof name});
    const char character = static_cast<char>(byte);
    if (byte < 128) ascii_ids_[byte] = vocabulary.find({&character, 1});
  }
}

namespace {

/// The ids of the two parts of a merge, and of what they make.
struct MergedIds {
  std::int32_t left, right, joined;
};

/// Those of merges [begin, end), to each(rank of the first, ids) in order. Some merges at a time: what they look for lies all
/// over the memory, and comes while others are worked on.
template <class Each>
void each_merge(const Vocabulary& vocabulary, const std::vector<Bpe::Merge>& merges,
                std::size_t begin, std::size_t end, std::size_t prefix, std::string_view who,
                const Each& each) {
  const auto require = [&](std::string_view piece, std::uint64_t hash, std::size_t rank) {
    const std::int32_t id = vocabulary.find(piece, hash);
    if (id >= 0 && !piece.empty()) return id;
    throw Error(GRAFT_E_INVALID,
                cat(who, ": merge ", rank, " ('", merges[rank].left, "' with '", merges[rank].right,
                    "') needs '", piece, "', which is not in the vocabulary."));
  };
  struct Parts {
    std::string joined;
    std::uint64_t hashes[3];
    std::int32_t id;  // of what they make, where no search is needed; else -1
  };
  // Most files have the results of merges in the order of the merges. The id behind the last result; -1: not known yet.
  std::int64_t next_id = -1;
  std::array<Parts, 32> some;
  std::array<MergedIds, 32> found{};
  for (std::size_t first = begin; first < end; first += some.size()) {
    const std::size_t count = std::min(some.size(), end - first);
    for (std::size_t i = 0; i < count; ++i) {
      const auto& [left, right] = merges[first + i];
      Parts& parts = some[i];
      parts.joined.assign(left).append(right.substr(std::min(prefix, right.size())));
      parts.hashes[0] = text_hash(left);
      parts.hashes[1] = text_hash(right);
      const bool follows = !parts.joined.empty() && vocabulary.piece(next_id) == parts.joined;
      parts.id = follows ? static_cast<std::int32_t>(next_id++) : -1;
      if (!follows) next_id = -1;
      parts.hashes[2] = follows ? parts.hashes[1] : text_hash(parts.joined);
      for (const std::uint64_t hash : parts.hashes) vocabulary.prefetch_slot(hash);
    }
    for (std::size_t i = 0; i < count; ++i) {
      for (const std::uint64_t hash : some[i].hashes) vocabulary.prefetch_piece(hash);
    }
    for (std::size_t i = 0; i < count; ++i) {
      for (const std::uint64_t hash : some[i].hashes) vocabulary.prefetch_text(hash);
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t rank = first + i;
      const Parts& parts = some[i];
      const std::int32_t left = require(merges[rank].left, parts.hashes[0], rank);
      const std::int32_t right = require(merges[rank].right, parts.hashes[1], rank);
      const std::int32_t joined =
          parts.id >= 0 ? parts.id : require(parts.joined, parts.hashes[2], rank);
      if (next_id < 0 && i + 1 == count) next_id = std::int64_t{joined} + 1;
      found[i] = {left, right, joined};
    }
    each(first, std::span<const MergedIds>(found.data(), count));
  }
}

}  // namespace

Bpe::Bpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges, BpeOptions options,
         std::string_view who)
    : Bpe(vocabulary, std::move(options), who) {
  const std::size_t prefix = options_.prefix.size();
  const auto add = [&](std::size_t first, std::span<const MergedIds> some) {
    for (const MergedIds& ids : some) prefetch_pair(ids.left, ids.right);
    for (std::size_t i = 0; i < some.size(); ++i) {
      add_pair(some[i].left, some[i].right, static_cast<std::uint32_t>(first + i), some[i].joined);
    }
  };
  // Of many merges another thread looks the second half up.
  constexpr std::size_t many = 20000;
  const std::size_t half = merges.size() < many ? merges.size() : merges.size() / 2;
  std::vector<MergedIds> rest;
  std::future<void> looked_up;
  if (half < merges.size()) {
    looked_up = std::async([&] {  // here, later, where there are no more threads
      rest.reserve(merges.size() - half);
      each_merge(vocabulary, merges, half, merges.size(), prefix, who,
                 [&](std::size_t, std::span<const MergedIds> some) {
                   rest.insert(rest.end(), some.begin(), some.end());
                 });
    });
  }
  reserve(merges.size());
  each_merge(vocabulary, merges, 0, half, prefix, who, add);
  if (!looked_up.valid()) return;
  looked_up.get();
  constexpr std::size_t at_once = 32;
  for (std::size_t i = 0; i < rest.size(); i += at_once) {
    add(half + i, std::span(rest).subspan(i, std::min(at_once, rest.size() - i)));
  }
}

Bpe Bpe::by_score(const Vocabulary& vocabulary, const std::vector<float>& scores,
                  BpeOptions options, std::string_view who) {
  Bpe out(vocabulary, std::move(options), who);
  // Equal scores are one rank: then the leftmost pair is merged first.
  std::vector<float> order;
  for (const float score : scores) {
    if (!std::isnan(score)) order.push_back(score);
  }
  std::sort(order.begin(), order.end(), std::greater<>());
  order.erase(std::unique(order.begin(), order.end()), order.end());
  out.reserve(4 * scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    const std::string_view piece = vocabulary.piece(id);
    if (std::isnan(scores[i]) || piece.size() < 2) continue;
    const auto place = std::lower_bound(order.begin(), order.end(), scores[i], std::greater<>());
    for (std::size_t cut = 1; cut < piece.size(); ++cut) {
      if (is_utf8_continuation(piece[cut])) continue;
      const std::int32_t left = vocabulary.find(piece.substr(0, cut));
      const std::int32_t right = left < 0 ? -1 : vocabulary.find(piece.substr(cut));
      if (right < 0) continue;
      out.add_pair(left, right, static_cast<std::uint32_t>(place - order.begin()), id);
    }
  }
  return out;
}

void Bpe::reserve(std::size_t pairs) {
  std::size_t capacity = std::max<std::size_t>(16, slots_.size());
  while (capacity < 2 * pairs) capacity *= 2;
  std::vector<Slot> old(capacity);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.rank != never) slots_[slot_of(slot.pair)] = slot;
  }
}

void Bpe::add_pair(std::int32_t left, std::int32_t right, std::uint32_t rank, std::int32_t id) {
  if (2 * (used_ + 1) > slots_.size()) reserve(slots_.size());
  Slot& slot = slots_[slot_of(pair_of(left, right))];
  used_ += slot.rank == never ? 1 : 0;
  slot = {pair_of(left, right), rank, id};
}

void Bpe::prefetch_pair(std::int32_t left, std::int32_t right) const {
  __builtin_prefetch(&slots_[mix(pair_of(left, right)) & (slots_.size() - 1)]);
}

std::size_t Bpe::slot_of(std::uint64_t pair) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = mix(pair) & mask;
  while (slots_[at].pair != pair && slots_[at].rank != never) at = (at + 1) & mask;
  return at;
}

void Bpe::rate(Workspace::Symbol& left, const Workspace::Symbol& right) const {
  const Slot& slot = slots_[slot_of(pair_of(left.id, right.id))];
  left.rank = slot.rank;
  left.merged = slot.id;
}

void Bpe::add_bytes(std::string_view piece, std::vector<Workspace::Symbol>& out) const {
  for (const char byte : piece) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
    if (id >= 0) {
      out.push_back({id, 1});
    } else if (unk_ >= 0 && options_.fuse_unk && !out.empty() && out.back().id == unk_) {
      ++out.back().bytes;
    } else if (unk_ >= 0) {
      out.push_back({unk_, 1});
    }
  }
}

void Bpe::add_characters(const Vocabulary& vocabulary, std::string_view piece, bool byte_level,
                         Workspace& workspace) const {
  std::vector<Workspace::Symbol>& out = workspace.symbols;
  // Unknown characters wait for the next known one: those in a row may become one token.
  std::uint32_t unknown = 0;
  const auto add_unknown = [&] {
    if (unknown != 0) out.push_back({unk_, unknown});
    unknown = 0;
  };
  const bool plain = options_.prefix.empty() && options_.suffix.empty();
  for (std::size_t at = 0; at < piece.size();) {
    const auto first = static_cast<unsigned char>(piece[at]);
    const std::size_t length = byte_level || first < 0x80 ? 1 : utf8_length(piece.substr(at));
    std::string_view character = byte_level ? text_of_byte(first) : piece.substr(at, length);
    if (!plain) {
      workspace.text.assign(at > 0 ? options_.prefix : "").append(character);
      if (at + length == piece.size()) workspace.text.append(options_.suffix);
      character = workspace.text;
    }
    const std::int32_t id =
        plain && !byte_level && first < 0x80 ? ascii_ids_[first] : vocabulary.find(character);
    at += length;
    const auto bytes = static_cast<std::uint32_t>(length);
    if (id >= 0) {
      add_unknown();
      out.push_back({id, bytes});
      continue;
    }
    const auto has_token = [&](char byte) {
      return fallback_ids_[static_cast<unsigned char>(byte)] >= 0;
    };
    if (options_.byte_fallback && std::all_of(character.begin(), character.end(), has_token)) {
      for (const char byte : character) {
        out.push_back({fallback_ids_[static_cast<unsigned char>(byte)], 1});
      }
      continue;
    }
    if (unk_ < 0) continue;
    if (!options_.fuse_unk) add_unknown();
    unknown += bytes;
  }
  add_unknown();
}

/// Looks for the best pair again and again, and closes the gap that its merge leaves.
void Bpe::merge_few(std::vector<Workspace::Symbol>& symbols) const {
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) rate(symbols[i], symbols[i + 1]);
  while (symbols.size() > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < symbols.size(); ++i) {
      if (symbols[i].rank < symbols[best].rank) best = i;
    }
    if (symbols[best].rank == never) return;
    symbols[best].id = symbols[best].merged;
    symbols[best].bytes += symbols[best + 1].bytes;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    if (best + 1 < symbols.size()) rate(symbols[best], symbols[best + 1]);
    if (best > 0) rate(symbols[best - 1], symbols[best]);
  }
}

/// The same for long pieces: places in a queue by rank. An entry counts while the pair at its place
/// still has its rank.
void Bpe::merge_many(Workspace& workspace) const {
  std::vector<Workspace::Symbol>& symbols = workspace.symbols;
  std::vector<std::uint64_t>& queue = workspace.queue;
  const auto at = [&](std::int32_t i) -> Workspace::Symbol& {
    return symbols[static_cast<std::size_t>(i)];
  };
  const auto count = static_cast<std::int32_t>(symbols.size());
  const auto enter = [&](std::int32_t i) {
    Workspace::Symbol& left = at(i);
    left.rank = never;
    if (left.after == count) return false;
    rate(left, at(left.after));
    if (left.rank == never) return false;
    queue.push_back((static_cast<std::uint64_t>(left.rank) << 32) | static_cast<std::uint32_t>(i));
    return true;
  };
  queue.clear();
  for (std::int32_t i = 0; i < count; ++i) {
    at(i).before = i - 1;
    at(i).after = i + 1;
    enter(i);
  }
  std::make_heap(queue.begin(), queue.end(), std::greater<>());
  const auto enter_later = [&](std::int32_t i) {
    if (enter(i)) std::push_heap(queue.begin(), queue.end(), std::greater<>());
  };
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const auto rank = static_cast<std::uint32_t>(queue.back() >> 32);
    const auto place = static_cast<std::int32_t>(queue.back() & 0xFFFFFFFFu);
    queue.pop_back();
    Workspace::Symbol& left = at(place);
    if (left.bytes == 0 || left.rank != rank) continue;
    Workspace::Symbol& right = at(left.after);
    left.id = left.merged;
    left.bytes += right.bytes;
    left.after = right.after;
    right.bytes = 0;  // gone
    if (left.after != count) at(left.after).before = place;
    if (left.before >= 0) enter_later(left.before);
    enter_later(place);
  }
  std::erase_if(symbols, [](const Workspace::Symbol& symbol) { return symbol.bytes == 0; });
}

void Bpe::encode(const Vocabulary& vocabulary, std::string_view piece, bool byte_level,
                 Workspace& workspace, std::vector<Unit>& out) const {
  if (piece.size() > longest_piece) {
    throw Error(GRAFT_E_INVALID, cat("a piece of ", piece.size(), " bytes is too long to encode; ",
                                     "the limit is ", longest_piece, "."));
  }
  if (options_.ignore_merges) {
    std::string_view whole = piece;
    if (byte_level) {
      workspace.text.clear();
      for (const char b : piece) workspace.text += text_of_byte(static_cast<unsigned char>(b));
      whole = workspace.text;
    }
    const std::int32_t id = vocabulary.find(whole);
    if (id >= 0) {
      out.push_back({id, 0, static_cast<std::uint32_t>(piece.size())});
      return;
    }
  }
  workspace.symbols.clear();
  if (byte_level && options_.prefix.empty() && options_.suffix.empty()) {
    add_bytes(piece, workspace.symbols);
  } else {
    add_characters(vocabulary, piece, byte_level, workspace);
  }
  if (workspace.symbols.size() <= few) {
    merge_few(workspace.symbols);
  } else {
    merge_many(workspace);
  }
  std::uint32_t at = 0;
  for (const Workspace::Symbol& symbol : workspace.symbols) {
    out.push_back({symbol.id, at, at + symbol.bytes});
    at += symbol.bytes;
  }
}

}  // namespace graft::core
