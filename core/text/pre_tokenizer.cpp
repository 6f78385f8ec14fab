#include "core/text/pre_tokenizer.hpp"

#include "core/text/byte_alphabet.hpp"
#include "core/text/unicode.hpp"

namespace graft::core {
namespace {

/// Splits every piece at matches(text, found), whose ranges count from the piece's beginning.
template <class Matches>
void split_pieces(Pieces& pieces, SplitBehavior behavior, bool invert, const Matches& matches) {
  std::vector<TextRange> out, found;
  for (const TextRange& range : pieces.ranges) {
    found.clear();
    matches(pieces.text.text.substr(range.begin, range.end - range.begin), found);
    for (TextRange& match : found) {
      match.begin += range.begin;
      match.end += range.begin;
    }
    split_range(range, found, behavior, invert, out);
  }
  pieces.ranges = std::move(out);
}

/// Puts a space in front of every piece that does not begin with one. It stands for what the
/// piece's first character stands for.
void add_prefix_spaces(Pieces& pieces) {
  const std::string_view text = pieces.text.text;
  bool all_begin_so = true;
  for (const TextRange& range : pieces.ranges) all_begin_so &= text[range.begin] == ' ';
  if (all_begin_so) return;
  pieces.rewrite([text](Rewriter& writer, TextRange range) {
    if (text[range.begin] != ' ') writer.put(" ", range.begin, range.begin + 1);
    writer.keep(range.begin, range.end);
  });
}

/// Writes the bytes as the characters of the alphabet that they have stood for so far.
void write_byte_alphabet(Pieces& pieces) {
  const std::string_view text = pieces.text.text;
  pieces.rewrite([text](Rewriter& writer, TextRange range) {
    for (std::size_t i = range.begin; i < range.end; ++i) {
      writer.put(text_of_byte(static_cast<unsigned char>(text[i])), i, i + 1);
    }
  });
  pieces.byte_level = false;
}

}  // namespace

void Pieces::rewrite(const std::function<void(Rewriter&, TextRange)>& piece) {
  AlignedText out;
  Rewriter writer(text, out);
  for (TextRange& range : ranges) {
    const std::size_t begin = out.text.size();
    piece(writer, range);
    range = {begin, out.text.size()};
  }
  storage = std::move(out);
  text = TextView(storage);
}

PreTokenizer split_at(Regex pattern, SplitBehavior behavior, bool invert) {
  return [pattern = std::move(pattern), behavior, invert](Pieces& pieces) {
    split_pieces(pieces, behavior, invert,
                 [&](std::string_view text, std::vector<TextRange>& found) {
                   pattern.matches(text, found, Regex::Empty::included);
                 });
  };
}

PreTokenizer split_at_class(bool (*is_in_class)(char32_t), SplitBehavior behavior) {
  return [is_in_class, behavior](Pieces& pieces) {
    split_pieces(pieces, behavior, false,
                 [&](std::string_view text, std::vector<TextRange>& found) {
                   for (std::size_t at = 0; at < text.size();) {
                     const std::size_t begin = at;
                     if (is_in_class(utf8_next(text, at))) found.push_back({begin, at});
                   }
                 });
  };
}

PreTokenizer byte_level(bool add_prefix_space, bool use_regex) {
  const PreTokenizer split =
      use_regex ? split_at(Regex(gpt2_pattern, "ByteLevel"), SplitBehavior::isolated, false)
                : PreTokenizer();
  return [=](Pieces& pieces) {
    if (add_prefix_space) add_prefix_spaces(pieces);
    if (split) split(pieces);
    pieces.byte_level = true;
  };
}

PreTokenizer metaspace(std::string replacement, Prefix prefix, bool split) {
  return [replacement = std::move(replacement), prefix, split](Pieces& pieces) {
    const TextView before = pieces.text;
    const std::string_view text = before.text;
    pieces.rewrite([&](Rewriter& writer, TextRange range) {
      const std::string_view piece = text.substr(range.begin, range.end - range.begin);
      const bool has_prefix = piece.front() == ' ' || piece.starts_with(replacement);
      const bool asks =
          prefix == Prefix::always ||
          (prefix == Prefix::first && before.source(range.begin, range.begin + 1).begin == 0);
      if (asks && !has_prefix) writer.put(replacement, range.begin, range.begin + 1);
      std::size_t kept = range.begin;
      for (std::size_t at = range.begin; at < range.end; ++at) {
        if (text[at] != ' ') continue;
        writer.keep(kept, at);
        writer.put(replacement, at, at + 1);
        kept = at + 1;
      }
      writer.keep(kept, range.end);
    });
    if (!split) return;
    split_pieces(pieces, SplitBehavior::merged_with_next, false,
                 [&](std::string_view piece, std::vector<TextRange>& found) {
                   for (std::size_t at = piece.find(replacement); at != piece.npos;
                        at = piece.find(replacement, at + replacement.size())) {
                     found.push_back({at, at + replacement.size()});
                   }
                 });
  };
}

PreTokenizer bert_words() {
  return in_sequence({split_at_class(is_white_space, SplitBehavior::removed),
                      split_at_class(is_punctuation, SplitBehavior::isolated)});
}

PreTokenizer in_sequence(std::vector<PreTokenizer> steps) {
  return [steps = std::move(steps)](Pieces& pieces) {
    for (const PreTokenizer& step : steps) {
      // Those that come after ByteLevel see the characters of its alphabet.
      if (pieces.byte_level) write_byte_alphabet(pieces);
      step(pieces);
    }
  };
}

}  // namespace graft::core
