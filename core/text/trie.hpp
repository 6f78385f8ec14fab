// Many texts at once: which of them begin at a place.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace graft::core {

/// A tree of bytes. Its edges lie in one hash table, so that a step costs the same from every node.
class Trie {
 public:
  Trie();
  /// Room for this many edges, so that none has to move.
  void reserve(std::size_t edges);
  /// The later value of a text counts.
  void add(std::string_view text, std::int32_t value);
  /// The same of many, into an empty tree: quicker, as they are added in the order of their texts.
  void add(const std::vector<std::pair<std::string_view, std::int32_t>>& texts);
  bool empty() const { return values_.size() == 1; }

  static constexpr std::int32_t root = 0;
  /// The node that `byte` leads to, or -1.
  std::int32_t step(std::int32_t node, char byte) const {
    const auto b = static_cast<unsigned char>(byte);
    if (node == root) return first_[b];
    const std::uint64_t key = (static_cast<std::uint64_t>(node) << 8) | b;
    for (std::size_t at = place(key);; at = (at + 1) & mask_) {
      if (edges_[at].child < 0) return -1;
      if (edges_[at].key == key) return edges_[at].child;
    }
  }
  /// Of the text that ends at the node; -1 where none does.
  std::int32_t value(std::int32_t node) const { return values_[static_cast<std::size_t>(node)]; }

  struct Match {
    std::int32_t value = -1;  // -1: none
    std::size_t length = 0;
  };
  /// The longest text that begins at `at`.
  Match longest(std::string_view text, std::size_t at, std::int32_t from = root) const;

 private:
  struct Edge {
    std::uint64_t key = 0;  // node * 256 + byte
    std::int32_t child = -1;
  };
  std::size_t place(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> shift_) & mask_;
  }
  void grow(std::size_t capacity);
  /// The node that `byte` leads to from `node`, which has no such one yet.
  std::int32_t append(std::int32_t node, char byte);

  std::array<std::int32_t, 256> first_{};
  std::vector<Edge> edges_;
  std::size_t mask_ = 0, used_ = 0;
  int shift_ = 0;
  std::vector<std::int32_t> values_;
};

}  // namespace graft::core
