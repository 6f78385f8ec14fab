// Fourth stage of a tokenizer: tokens that frame a text, and offsets as they are reported.
#pragma once
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/text/tokenizer.hpp"

namespace graft::core {

/// What a post-processor may know besides the tokens.
struct PostContext {
  std::string_view input;  // the caller's text, which offsets refer to
  /// The token's text: as the vocabulary writes it, or the stretch of input of an added token.
  std::function<std::string_view(const Token&)> text;
  bool add_special = false;
};

using PostProcessor = std::function<void(std::vector<Token>& tokens, const PostContext& context)>;

/// From the "post_processor" of a tokenizer.json; null gives an empty function. Throws
/// GRAFT_E_INVALID with the name of a kind that is not supported.
PostProcessor make_post_processor(const Json& config, std::string_view who);

/// `before` text `after`.
PostProcessor frame(std::vector<std::int32_t> before, std::vector<std::int32_t> after);
/// Takes the white space at a token's edges out of its offsets, a character of the input for each.
PostProcessor trim_offsets(bool add_prefix_space);

}  // namespace graft::core
