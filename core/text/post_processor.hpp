// Fourth stage of a tokenizer: tokens that frame a text, and offsets as they are reported.
#pragma once
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/text/tokenizer.hpp"

namespace graft::core {

/// What a post-processor may know of the tokenizer.
using PieceOf = std::function<std::string_view(std::int32_t id)>;

using PostProcessor =
    std::function<void(std::vector<Token>& tokens, const PieceOf& piece, bool add_special)>;

/// From the "post_processor" of a tokenizer.json; null gives an empty function. Throws
/// GRAFT_E_INVALID with the name of a kind that is not supported.
PostProcessor make_post_processor(const Json& config, std::string_view who);

/// `before` text `after`.
PostProcessor frame(std::vector<std::int32_t> before, std::vector<std::int32_t> after);
/// Takes the white space at a token's edges out of its offsets.
PostProcessor trim_offsets(bool add_prefix_space);

}  // namespace graft::core
