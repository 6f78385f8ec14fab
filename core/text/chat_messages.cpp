#include "core/text/chat_messages.hpp"

namespace graft::core {
namespace {

Json* messages_of(Json& variables) {
  const auto messages = variables.find("messages");
  return messages != variables.end() && messages->is_array() && !messages->empty() ? &*messages
                                                                                   : nullptr;
}

}  // namespace

void alias_reasoning(Json& variables) {
  Json* messages = messages_of(variables);
  if (messages == nullptr) return;
  for (Json& message : *messages) {
    if (!message.is_object()) continue;
    for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
      const auto found = message.find(name);
      if (found == message.end() || found->is_null()) continue;
      const Json reasoning = *found;
      Json out = {{"thinking", reasoning}};
      for (const auto& [key, value] : message.items()) out[key] = value;
      out["reasoning_content"] = reasoning;
      message = std::move(out);
      break;
    }
  }
}

std::string* final_text(Json& variables) {
  Json* messages = messages_of(variables);
  if (messages == nullptr) return nullptr;
  Json& last = messages->back();
  if (!last.is_object() || !last.contains("content")) return nullptr;
  Json& content = last["content"];
  if (content.is_string()) return content.get_ptr<std::string*>();
  for (std::size_t i = content.is_array() ? content.size() : 0; i-- > 0;) {
    if (content[i].is_object() && content[i].contains("text") && content[i]["text"].is_string()) {
      return content[i]["text"].get_ptr<std::string*>();
    }
  }
  return nullptr;
}

}  // namespace graft::core
