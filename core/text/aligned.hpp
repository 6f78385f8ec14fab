// Text that remembers which bytes of the caller's input it came from.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace graft::core {

/// A half-open range of bytes of the caller's input.
struct SourceSpan {
  std::int64_t begin = 0, end = 0;
};

/// A half-open range of bytes within a text.
struct TextRange {
  std::size_t begin = 0, end = 0;
};

/// A stretch of a rewritten text, up to where the next one begins.
struct AlignedRun {
  std::size_t begin = 0;
  SourceSpan source;
  /// Each character stands for its own bytes, counted from source.begin (source.end means nothing).
  /// Else every byte stands for all of `source`.
  bool copied = false;
};

/// A text that was written anew. Its runs cover it.
struct AlignedText {
  std::string text;
  std::vector<AlignedRun> runs;
};

/// A part of a text: of the input itself, or of a rewritten one. Used by one thread at a time.
class TextView {
 public:
  TextView() = default;
  explicit TextView(std::string_view input) : text(input) {}
  explicit TextView(const AlignedText& rewritten) : text(rewritten.text), runs_(&rewritten.runs) {}

  std::string_view text;

  TextView part(std::size_t begin, std::size_t end) const {
    TextView out = *this;
    out.text = text.substr(begin, end - begin);
    out.offset_ += begin;
    return out;
  }
  /// What the non-empty bytes [begin, end) stand for. A part of a character stands for all of it.
  /// Quick when asked from left to right.
  SourceSpan source(std::size_t begin, std::size_t end) const;

 private:
  friend class Rewriter;
  /// The run that holds byte `at` of the whole text.
  std::size_t run_at(std::size_t at) const;

  const std::vector<AlignedRun>* runs_ = nullptr;  // null: a part of the input
  std::size_t offset_ = 0;                         // of `text` in the whole
  mutable std::size_t last_run_ = 0;               // where the next question is likely to be
};

/// Writes a new text from the parts of another one.
class Rewriter {
 public:
  Rewriter(const TextView& in, AlignedText& out) : in_(in), out_(out) {
    out_.text.clear();
    out_.runs.clear();
  }
  /// Bytes [begin, end) of the text as they are.
  void keep(std::size_t begin, std::size_t end);
  /// New bytes that stand for the non-empty bytes [begin, end) of the text.
  void put(std::string_view bytes, std::size_t begin, std::size_t end) {
    put(bytes, in_.source(begin, end));
  }
  void put(std::string_view bytes, SourceSpan source);
  /// What was put last stands for something else.
  void restate(SourceSpan source) { out_.runs.back().source = source; }

 private:
  const TextView in_;
  AlignedText& out_;
};

/// `text` with invalid UTF-8 replaced by U+FFFD, each standing for the bytes it replaces.
AlignedText repair_utf8(std::string_view text);

}  // namespace graft::core
