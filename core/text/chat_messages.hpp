// What is done to the messages of a conversation before a template sees them.
#pragma once
#include <string>

#include "core/base/json.hpp"

namespace graft::core {

/// Templates read what an assistant thought under several names; where a message has it under one of them, it gets the
/// names "thinking" and "reasoning_content" too, as in transformers.
void alias_reasoning(Json& variables);

/// What the last message says: its content, or the last text among its parts; null where it is silent.
std::string* final_text(Json& variables);

}  // namespace graft::core
