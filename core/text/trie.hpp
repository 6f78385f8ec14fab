// Many texts at once: which of them begin at a place.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace graft::core {

/// A tree of bytes. Nodes are numbered level by level, so that the children of one lie side by side and behind those of the
/// one before. Where only one text goes on, the rest of it is kept as it is.
class Trie {
 public:
  using Texts = std::vector<std::pair<std::string_view, std::int32_t>>;
  Trie() : Trie(Texts()) {}
  /// The later value of a text counts; values are not negative. The empty text has none.
  explicit Trie(const Texts& texts);
  bool empty() const { return values_.size() == 1; }

  /// each(end, value) for the texts that begin at `at` of another one, the shortest first.
  template <class Each>
  void matches(std::string_view text, std::size_t at, const Each& each) const {
    for (std::int32_t node = root; at < text.size();) {
      node = step(node, text[at++]);
      if (node < 0) return;
      const std::int32_t value = values_[static_cast<std::size_t>(node)];
      if (value >= 0) each(at, value);
      if (value >= none) continue;
      const Tail& tail = tails_[static_cast<std::size_t>(first_tail - value)];
      const std::string_view rest = std::string_view(tail_texts_).substr(tail.begin, tail.size);
      if (text.substr(at, rest.size()) == rest) each(at + rest.size(), tail.value);
      return;
    }
  }

  struct Match {
    std::int32_t value = -1;  // -1: none
    std::size_t length = 0;
  };
  /// The longest text that begins at `at`.
  Match longest(std::string_view text, std::size_t at) const {
    Match best;
    matches(text, at, [&](std::size_t end, std::int32_t value) { best = {value, end - at}; });
    return best;
  }

 private:
  static constexpr std::int32_t root = 0, none = -1, first_tail = -2;
  struct Tail {
    std::uint32_t begin = 0, size = 0;  // in tail_texts_
    std::int32_t value = 0;
  };
  /// The node that `byte` leads to, or -1.
  std::int32_t step(std::int32_t node, char byte) const {
    if (node == root) return first_[static_cast<unsigned char>(byte)];
    const auto at = static_cast<std::size_t>(node);
    const std::uint32_t begin = children_[at], end = children_[at + 1];
    constexpr std::uint32_t few = 8;
    if (end - begin <= few) {
      for (std::uint32_t child = begin; child < end; ++child) {
        if (labels_[child] == byte) return static_cast<std::int32_t>(child);
      }
      return -1;
    }
    const char* labels = labels_.data();
    const void* found = std::memchr(labels + begin, byte, end - begin);
    return found == nullptr ? -1
                            : static_cast<std::int32_t>(static_cast<const char*>(found) - labels);
  }

  std::array<std::int32_t, 256> first_{};  // the children of the root
  std::vector<std::uint32_t> children_;  // by node: the first of its children; one more at the end
  std::vector<char> labels_;             // by node: the byte that leads to it
  std::vector<std::int32_t> values_;  // by node; none, or from first_tail down the number of a tail
  std::vector<Tail> tails_;
  std::string tail_texts_;
};

}  // namespace graft::core
