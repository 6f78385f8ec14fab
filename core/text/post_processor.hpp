// Fourth stage of a tokenizer: tokens that frame a text, and offsets as they are reported.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/text/tokenizer.hpp"

namespace graft::core {

/// Of which tokens the result is made, in order.
struct FramePart {
  enum class What { special, first, second } what = What::special;
  std::vector<std::int32_t> ids;  // of special tokens
  std::int32_t type = 0;
};
struct Frame {
  std::vector<FramePart> single, pair;
};

/// Takes the white space at a token's edges out of its offsets, a character of the input for each.
struct OffsetTrim {
  bool add_prefix_space = true;  // a single space at the start may be one that was put there
};

/// An added token that was found in a text: its place among the tokens, and what stood there.
struct FoundToken {
  std::size_t index = 0;
  std::string text;
};

/// One text's tokens, and what trimming needs besides them.
struct Sequence {
  std::string_view input;  // what the offsets refer to
  std::vector<Token> tokens;
  std::vector<FoundToken> found;  // in order
};

/// A description, worked off by apply(). By default it adds nothing.
struct PostProcessor {
  bool trims = false;
  OffsetTrim trim;
  bool frames = false;
  Frame frame;

  /// A token as the vocabulary writes it.
  using PieceOf = std::function<std::string_view(std::int32_t id)>;
  /// `sequences`: one text, or two. Without `add_special` a frame only gives types.
  std::vector<Token> apply(std::vector<Sequence> sequences, const PieceOf& piece_of,
                           bool add_special) const;
};

/// From the "post_processor" of a tokenizer.json; null gives one that adds nothing. Throws
/// GRAFT_E_INVALID with the name of a kind that is not supported.
PostProcessor make_post_processor(const Json& config, std::string_view who);

/// `before` text `after`, and the same around a second text.
Frame frame_around(const std::vector<std::int32_t>& before, const std::vector<std::int32_t>& after);

}  // namespace graft::core
