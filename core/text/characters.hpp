// Rewriting a text character by character.
#pragma once
#include <optional>
#include <string>

#include "core/text/aligned.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {

enum class Fate { kept, dropped, replaced };

/// Asks decide(character, bytes) what becomes of each character; where it is replaced, `bytes` (empty
/// before) holds what by. Returns false, without touching `out`, where all of them are kept.
template <class Decide>
bool rewrite_characters(const TextView& in, AlignedText& out, const Decide& decide) {
  std::optional<Rewriter> writer;
  std::size_t kept = 0;  // bytes before this are written
  std::string bytes;
  for (std::size_t at = 0; at < in.text.size();) {
    const std::size_t begin = at;
    const Fate fate = decide(utf8_next(in.text, at), bytes);
    if (fate == Fate::kept) continue;
    if (!writer) writer.emplace(in, out);
    writer->keep(kept, begin);
    if (fate == Fate::replaced) writer->put(bytes, begin, at);
    bytes.clear();
    kept = at;
  }
  if (!writer) return false;
  writer->keep(kept, in.text.size());
  return true;
}

/// Writes new characters one by one, each of which uses up a number of old ones.
class CharacterFlow {
 public:
  /// Goes through bytes [begin, end) of `in`.
  CharacterFlow(const TextView& in, std::size_t begin, std::size_t end, Rewriter& writer)
      : in_(in), at_(begin), end_(end), writer_(writer) {
    // What comes before any old character stands for the one in front.
    if (begin == 0) return;
    std::size_t front = begin - 1;
    while (front > 0 && is_utf8_continuation(in.text[front])) --front;
    last_ = in.source(front, begin);
  }
  /// `character` stands for the first of the old characters that it uses up; where it uses none,
  /// for the last one used.
  void put(char32_t character, std::size_t uses) {
    SourceSpan source = last_;
    for (std::size_t i = 0; i < uses && at_ < end_; ++i) {
      const std::size_t begin = at_;
      utf8_next(in_.text, at_);
      last_ = in_.source(begin, at_);
      if (i == 0) source = last_;
    }
    bytes_.clear();
    append_utf8(bytes_, character);
    writer_.put(bytes_, source);
  }

 private:
  const TextView& in_;
  std::size_t at_, end_;
  Rewriter& writer_;
  SourceSpan last_;
  std::string bytes_;
};

}  // namespace graft::core
