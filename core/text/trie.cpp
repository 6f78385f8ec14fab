#include "core/text/trie.hpp"

#include <algorithm>

namespace graft::core {

Trie::Trie() : values_(1, -1) {
  first_.fill(-1);
  grow(16);
}

void Trie::grow(std::size_t capacity) {
  std::vector<Edge> old(capacity);
  old.swap(edges_);
  mask_ = capacity - 1;
  shift_ = 64;
  while (capacity > 1) {
    capacity /= 2;
    --shift_;
  }
  for (const Edge& edge : old) {
    if (edge.child < 0) continue;
    std::size_t at = place(edge.key);
    while (edges_[at].child >= 0) at = (at + 1) & mask_;
    edges_[at] = edge;
  }
}

void Trie::reserve(std::size_t edges) {
  std::size_t capacity = edges_.size();
  while (capacity < 2 * edges) capacity *= 2;
  if (capacity > edges_.size()) grow(capacity);
  values_.reserve(edges + 1);
}

void Trie::add(std::string_view text, std::int32_t value) {
  std::int32_t node = root;
  for (const char byte : text) {
    const std::int32_t next = step(node, byte);
    node = next < 0 ? append(node, byte) : next;
  }
  if (node != root) values_[static_cast<std::size_t>(node)] = value;
}

std::int32_t Trie::append(std::int32_t node, char byte) {
  const auto next = static_cast<std::int32_t>(values_.size());
  values_.push_back(-1);
  const auto b = static_cast<unsigned char>(byte);
  if (node == root) {
    first_[b] = next;
    return next;
  }
  if (2 * ++used_ > edges_.size()) grow(2 * edges_.size());
  const std::uint64_t key = (static_cast<std::uint64_t>(node) << 8) | b;
  std::size_t at = place(key);
  while (edges_[at].child >= 0) at = (at + 1) & mask_;
  edges_[at] = {key, next};
  return next;
}

void Trie::add(const std::vector<std::pair<std::string_view, std::int32_t>>& texts) {
  // By their first eight bytes, which tell most of them apart; equal texts keep their order.
  struct Sorted {
    std::uint64_t key = 0;
    std::uint32_t place = 0;
  };
  std::vector<Sorted> order(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string_view text = texts[i].first;
    for (std::size_t k = 0; k < 8; ++k) {
      order[i].key =
          (order[i].key << 8) | (k < text.size() ? static_cast<unsigned char>(text[k]) : 0u);
    }
    order[i].place = static_cast<std::uint32_t>(i);
  }
  std::sort(order.begin(), order.end(), [&](const Sorted& a, const Sorted& b) {
    if (a.key != b.key) return a.key < b.key;
    const int sign = texts[a.place].first.compare(texts[b.place].first);
    return sign != 0 ? sign < 0 : a.place < b.place;
  });
  std::vector<std::int32_t> path{root};  // of the text before
  std::string_view before;
  for (const Sorted& sorted : order) {
    const auto& [text, value] = texts[sorted.place];
    std::size_t same = 0;
    while (same < text.size() && same < before.size() && text[same] == before[same]) ++same;
    path.resize(same + 1);
    for (std::size_t i = same; i < text.size(); ++i) path.push_back(append(path.back(), text[i]));
    if (!text.empty()) values_[static_cast<std::size_t>(path.back())] = value;
    before = text;
  }
}

Trie::Match Trie::longest(std::string_view text, std::size_t at, std::int32_t from) const {
  Match best;
  std::int32_t node = from;
  for (std::size_t i = at; i < text.size(); ++i) {
    node = step(node, text[i]);
    if (node < 0) break;
    if (value(node) >= 0) best = {value(node), i + 1 - at};
  }
  return best;
}

}  // namespace graft::core
