#include "core/text/trie.hpp"

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
    std::int32_t next = step(node, byte);
    if (next < 0) {
      next = static_cast<std::int32_t>(values_.size());
      values_.push_back(-1);
      const auto b = static_cast<unsigned char>(byte);
      if (node == root) {
        first_[b] = next;
      } else {
        if (2 * ++used_ > edges_.size()) grow(2 * edges_.size());
        const std::uint64_t key = (static_cast<std::uint64_t>(node) << 8) | b;
        std::size_t at = place(key);
        while (edges_[at].child >= 0) at = (at + 1) & mask_;
        edges_[at] = {key, next};
      }
    }
    node = next;
  }
  if (node != root) values_[static_cast<std::size_t>(node)] = value;
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
