// Text that remembers which bytes of the caller's input it came from.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace graft::core {

/// A half-open range of bytes of the caller's input.
struct SourceSpan {
  std::int64_t begin = 0, end = 0;
};

/// A part of a text. Each byte stands for origin[i], or for the byte base + i of the input where
/// `origin` is null.
struct TextView {
  std::string_view text;
  const SourceSpan* origin = nullptr;
  std::int64_t base = 0;

  TextView part(std::size_t begin, std::size_t end) const {
    return {text.substr(begin, end - begin), origin != nullptr ? origin + begin : nullptr,
            base + static_cast<std::int64_t>(begin)};
  }
  /// What one character stands for; `at` is its first byte, `length` its size.
  SourceSpan of_character(std::size_t at, std::size_t length) const {
    if (origin != nullptr) return origin[at];
    const std::int64_t begin = base + static_cast<std::int64_t>(at);
    return {begin, begin + static_cast<std::int64_t>(length)};
  }
  /// What the non-empty bytes [begin, end) stand for. A part of a character stands for all of it.
  SourceSpan source(std::size_t begin, std::size_t end) const;
};

/// The same with its own storage. An empty `origin` is the identity.
struct AlignedText {
  std::string text;
  std::vector<SourceSpan> origin;
  std::int64_t base = 0;

  TextView view() const { return {text, origin.empty() ? nullptr : origin.data(), base}; }
  /// Appends bytes that all stand for `span`.
  void append(std::string_view bytes, SourceSpan span) {
    text.append(bytes);
    origin.insert(origin.end(), bytes.size(), span);
  }
};

/// `text` with invalid UTF-8 replaced by U+FFFD, each standing for the bytes it replaces.
AlignedText repair_utf8(std::string_view text);

}  // namespace graft::core
