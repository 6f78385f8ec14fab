#include "core/text/trie.hpp"

#include <algorithm>

namespace graft::core {
namespace {

/// A text by its first eight bytes, which tell most of them apart.
struct Sorted {
  std::uint64_t key = 0;
  const char* data = nullptr;
  std::uint32_t size = 0, place = 0;

  Sorted(std::string_view text, std::size_t at)
      : data(text.data()),
        size(static_cast<std::uint32_t>(text.size())),
        place(static_cast<std::uint32_t>(at)) {
    for (std::size_t i = 0; i < 8; ++i) {
      key = (key << 8) | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0u);
    }
  }
  std::string_view text() const { return {data, size}; }
  unsigned char byte(std::uint32_t depth) const {
    return static_cast<unsigned char>(depth < 8 ? key >> (56 - 8 * depth)
                                                : static_cast<std::uint64_t>(data[depth]));
  }
};

/// Equal texts keep their order.
std::vector<Sorted> sorted(const Trie::Texts& texts) {
  std::vector<Sorted> out;
  out.reserve(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!texts[i].first.empty()) out.emplace_back(texts[i].first, i);
  }
  std::sort(out.begin(), out.end(), [](const Sorted& a, const Sorted& b) {
    if (a.key != b.key) return a.key < b.key;
    const int sign = a.text().compare(b.text());
    return sign != 0 ? sign < 0 : a.place < b.place;
  });
  return out;
}

/// The sorted texts that begin as a node does.
struct Range {
  std::uint32_t begin = 0, end = 0;
};

}  // namespace

Trie::Trie(const Texts& texts) : values_(1, none) {
  first_.fill(-1);
  const std::vector<Sorted> order = sorted(texts);
  labels_.push_back(0);
  std::vector<std::string_view> tails;
  std::vector<Range> level{{0, static_cast<std::uint32_t>(order.size())}}, next;
  for (std::uint32_t depth = 0; !level.empty(); ++depth, level.swap(next)) {
    next.clear();
    std::size_t node = values_.size() - level.size();
    for (const Range& range : level) {
      std::uint32_t at = range.begin;
      children_.push_back(static_cast<std::uint32_t>(values_.size()));
      // The shorter ones come first.
      for (; at < range.end && order[at].size == depth; ++at) {
        values_[node] = texts[order[at].place].second;
      }
      while (at < range.end) {
        const unsigned char byte = order[at].byte(depth);
        const Sorted& first = order[at];
        const std::uint32_t begin = at;
        do ++at;
        while (at < range.end && order[at].byte(depth) == byte);
        if (depth == 0) first_[byte] = static_cast<std::int32_t>(values_.size());
        labels_.push_back(static_cast<char>(byte));
        const bool ends_alone = at == begin + 1 && first.size > depth + 1;
        values_.push_back(ends_alone ? first_tail - static_cast<std::int32_t>(tails_.size())
                                     : none);
        next.push_back({ends_alone ? at : begin, at});
        if (!ends_alone) continue;
        tails_.push_back({0, first.size - depth - 1, static_cast<std::int32_t>(first.place)});
        tails.push_back(first.text().substr(depth + 1));
      }
      ++node;
    }
  }
  children_.push_back(static_cast<std::uint32_t>(values_.size()));
  // They lie all over the memory: some are on their way while others are copied.
  constexpr std::size_t ahead = 16;
  for (std::size_t i = 0; i < tails.size(); ++i) {
    if (i + ahead < tails.size()) {
      __builtin_prefetch(tails[i + ahead].data());
      __builtin_prefetch(&texts[static_cast<std::size_t>(tails_[i + ahead].value)]);
    }
    tails_[i].value = texts[static_cast<std::size_t>(tails_[i].value)].second;
    tails_[i].begin = static_cast<std::uint32_t>(tail_texts_.size());
    tail_texts_.append(tails[i]);
  }
}

}  // namespace graft::core
