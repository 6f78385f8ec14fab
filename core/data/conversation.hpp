// A conversation to token ids, the assistant's turns labelled.
#pragma once
#include "core/data/example.hpp"

namespace graft::core {

/// Renders the conversation through the template and labels every turn of the assistant: what the
/// template marks with generation blocks, where it has them; else from the end of the generation
/// prompt to the token that ends the turn, that token included and white space after it not. Such a
/// turn is found by rendering messages[:i] with the generation prompt and
/// messages[:i+1] without; where these are no prefixes of the whole text, it throws.
/// `variables` are what the template gets beside the messages (tools, documents).
Example encode_conversation(const Json& messages, const Json& variables, const Encoder& encoder,
                            std::string_view who);

}  // namespace graft::core
