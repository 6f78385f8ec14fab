#include "core/text/trie.hpp"

#include <algorithm>
#include <span>

namespace graft::core {
namespace {

constexpr std::uint32_t key_size = 16;

/// A text with its first bytes, which tell most of them apart, so that the texts themselves are seldom looked at.
struct Sorted {
  std::array<char, key_size> key{};  // zeros behind the text
  const char* data = nullptr;
  std::uint32_t size = 0;
  std::int32_t value = 0;

  Sorted() = default;
  Sorted(std::string_view text, std::int32_t value_)
      : data(text.data()), size(static_cast<std::uint32_t>(text.size())), value(value_) {
    std::memcpy(key.data(), data, std::min(size, key_size));
  }
  std::string_view text() const { return {data, size}; }
  unsigned char byte(std::uint32_t depth) const {
    return static_cast<unsigned char>(depth < key_size ? key[depth] : data[depth]);
  }
  /// Appends what is behind the first `from` bytes.
  void append_to(std::string& out, std::uint32_t from) const {
    out.append((size <= key_size ? key.data() : data) + from, size - from);
  }
};

bool is_before(const Sorted& a, const Sorted& b) {
  const int sign = std::memcmp(a.key.data(), b.key.data(), key_size);
  return sign != 0 ? sign < 0 : a.text() < b.text();
}

/// Sorts texts that have their first `depth` bytes in common; equal ones keep their order. `other` is as long.
void sort(std::span<Sorted> texts, std::uint32_t depth, std::span<Sorted> other) {
  constexpr std::size_t few = 32;
  if (texts.size() <= few) {
    for (std::size_t i = 1; i < texts.size(); ++i) {
      const Sorted text = texts[i];
      std::size_t at = i;
      for (; at > 0 && is_before(text, texts[at - 1]); --at) texts[at] = texts[at - 1];
      texts[at] = text;
    }
    return;
  }
  if (depth == key_size) return std::stable_sort(texts.begin(), texts.end(), is_before);
  std::array<std::uint32_t, 257> begins{};
  for (const Sorted& text : texts) ++begins[text.byte(depth) + 1u];
  const bool all_the_same = begins[texts[0].byte(depth) + 1u] == texts.size();
  if (all_the_same) return sort(texts, depth + 1, other);
  for (std::size_t i = 1; i < begins.size(); ++i) begins[i] += begins[i - 1];
  auto next = begins;
  for (const Sorted& text : texts) other[next[text.byte(depth)]++] = text;
  std::copy_n(other.begin(), texts.size(), texts.begin());
  for (std::size_t i = 0; i < 256; ++i) {
    const std::size_t count = begins[i + 1] - begins[i];
    if (count > 1) sort(texts.subspan(begins[i], count), depth + 1, other);
  }
}

std::vector<Sorted> sorted(const Trie::Texts& texts) {
  std::vector<Sorted> out;
  out.reserve(texts.size());
  for (const auto& [text, value] : texts) {
    if (!text.empty()) out.emplace_back(text, value);
  }
  std::vector<Sorted> other(out.size());
  sort(out, 0, other);
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
  std::vector<Range> level{{0, static_cast<std::uint32_t>(order.size())}}, next;
  for (std::uint32_t depth = 0; !level.empty(); ++depth, level.swap(next)) {
    next.clear();
    std::size_t node = values_.size() - level.size();
    for (const Range& range : level) {
      std::uint32_t at = range.begin;
      children_.push_back(static_cast<std::uint32_t>(values_.size()));
      // The shorter ones come first.
      for (; at < range.end && order[at].size == depth; ++at) {
        values_[node] = order[at].value;
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
        tails_.push_back(
            {static_cast<std::uint32_t>(tail_texts_.size()), first.size - depth - 1, first.value});
        first.append_to(tail_texts_, depth + 1);
      }
      ++node;
    }
  }
  children_.push_back(static_cast<std::uint32_t>(values_.size()));
}

}  // namespace graft::core
