#include "core/text/post_processor.hpp"

#include <algorithm>

#include "core/text/byte_alphabet.hpp"
#include "core/text/unicode.hpp"

namespace graft::core {
namespace {

/// How many white characters a token's text has at an edge; the alphabet's space is one.
struct Edges {
  int left = 0, right = 0;
};

Edges white_edges(std::string_view text) {
  Edges out;
  int run = 0;
  bool only_white = true;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = utf8_next(text, at);
    const bool white = c == character_of_byte(' ') || is_white_space(c);
    run = white ? run + 1 : 0;
    if (only_white && white) ++out.left;
    only_white &= white;
  }
  out.right = run;
  return out;
}

/// Steps over the characters of an input that need not be UTF-8: a bad byte, or a run of them that
/// one U+FFFD stands for, is a character.
std::int64_t after_character(std::string_view text, std::int64_t at) {
  std::size_t bad = 0;
  const std::size_t length = utf8_length(text.substr(static_cast<std::size_t>(at)), &bad);
  return at + static_cast<std::int64_t>(length != 0 ? length : bad);
}

std::int64_t before_character(std::string_view text, std::int64_t end) {
  std::int64_t at = end - 1;
  while (at > 0 && end - at < 4 && is_utf8_continuation(text[static_cast<std::size_t>(at)])) --at;
  return after_character(text, at) == end ? at : end - 1;
}

void trim_offsets(Sequence& sequence, OffsetTrim how, const PostProcessor::PieceOf& piece_of) {
  auto found = sequence.found.begin();
  for (std::size_t i = 0; i < sequence.tokens.size(); ++i) {
    Token& token = sequence.tokens[i];
    const bool is_found = found != sequence.found.end() && found->index == i;
    Edges white = white_edges(is_found ? found++->text : piece_of(token.id));
    if (how.add_prefix_space && white.left == 1 && (i == 0 || token.begin == 0)) white.left = 0;
    for (; white.left > 0 && token.begin < token.end; --white.left) {
      token.begin = after_character(sequence.input, token.begin);
    }
    for (; white.right > 0 && token.begin < token.end; --white.right) {
      token.end = before_character(sequence.input, token.end);
    }
  }
}

}  // namespace

std::vector<Token> PostProcessor::apply(std::vector<Sequence> sequences, const PieceOf& piece_of,
                                        bool add_special) const {
  if (trims) {
    for (Sequence& sequence : sequences) trim_offsets(sequence, trim, piece_of);
  }
  const bool is_pair = sequences.size() > 1;
  if (!frames && !is_pair) return std::move(sequences[0].tokens);
  std::vector<Token> out;
  const auto add = [&](const Sequence& sequence, std::int32_t type) {
    for (Token token : sequence.tokens) {
      token.type = type;
      out.push_back(token);
    }
  };
  if (!frames) {
    add(sequences[0], 0);
    add(sequences[1], 1);
    return out;
  }
  for (const FramePart& part : is_pair ? frame.pair : frame.single) {
    if (part.what == FramePart::What::first) {
      add(sequences[0], part.type);
    } else if (part.what == FramePart::What::second && is_pair) {
      add(sequences[1], part.type);
    } else if (add_special) {
      for (const std::int32_t id : part.ids) out.push_back({id, 0, 0, part.type, true});
    }
  }
  return out;
}

Frame frame_around(const std::vector<std::int32_t>& before,
                   const std::vector<std::int32_t>& after) {
  Frame out;
  const auto add = [&](std::vector<FramePart>& to, FramePart::What text, std::int32_t type) {
    if (!before.empty()) to.push_back({FramePart::What::special, before, type});
    to.push_back({text, {}, type});
    if (!after.empty()) to.push_back({FramePart::What::special, after, type});
  };
  add(out.single, FramePart::What::first, 0);
  add(out.pair, FramePart::What::first, 0);
  add(out.pair, FramePart::What::second, 1);
  return out;
}

}  // namespace graft::core
