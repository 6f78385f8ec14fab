#include "core/data/conversation.hpp"

#include <algorithm>

namespace graft::core {
namespace {

struct Turn {
  std::size_t begin, end;  // bytes of the rendered text
  bool marked = false;     // by the template itself: exactly these bytes
};

void check_messages(const Json& messages, std::string_view who) {
  if (!messages.is_array() || messages.empty()) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": the messages must be a list of {\"role\", \"content\"}, not empty."));
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    const auto refuse = [&](const std::string& what) {
      throw Error(GRAFT_E_INVALID, cat(who, ": message ", i, ' ', what));
    };
    if (!message.is_object()) refuse("is no object with \"role\" and \"content\".");
    if (!message.contains("role") || !message.at("role").is_string()) {
      refuse("has no \"role\" that is a string (\"system\", \"user\", \"assistant\", \"tool\").");
    }
    if (!message.contains("content")) {
      if (!message.contains("tool_calls")) refuse("has no \"content\".");
    } else if (const Json& content = message.at("content");
               !content.is_string() && !content.is_array() && !content.is_null()) {
      refuse(cat("has a \"content\" that is a ", content.type_name(), "; it must be a string."));
    }
  }
}

Json variables_of(const Json& messages, std::size_t count, bool generation_prompt,
                  const Json& variables) {
  Json all = variables;
  all["messages"] = Json::array();
  for (std::size_t i = 0; i < count; ++i) all["messages"].push_back(messages[i]);
  all["add_generation_prompt"] = generation_prompt;
  return all;
}

std::string render(const Json& messages, std::size_t count, bool generation_prompt,
                   const Json& variables, const Encoder& encoder, std::string_view who) {
  try {
    return encoder.render(variables_of(messages, count, generation_prompt, variables));
  } catch (const Error& error) {
    throw Error(error.status(), cat(who, ": the chat template refuses the first ", count, " of ",
                                    messages.size(), " messages: ", error.what()));
  }
}

std::vector<Turn> find_turns(const Json& messages, const Json& variables, const std::string& text,
                             const Encoder& encoder, std::string_view who) {
  std::vector<Turn> turns;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].at("role") != "assistant") continue;
    const std::string before = render(messages, i, true, variables, encoder, who);
    const bool last = i + 1 == messages.size();
    const std::string after = last ? text : render(messages, i + 1, false, variables, encoder, who);
    if (!text.starts_with(before) || !text.starts_with(after) || after.size() < before.size()) {
      throw Error(GRAFT_E_INVALID,
                  cat(who, ": message ", i,
                      " (assistant) cannot be told apart in the rendered "
                      "conversation: the chat template writes earlier messages differently when "
                      "later ones follow. Split the conversation so that it ends with this "
                      "message, or give a template that does not (model.template)."));
    }
    turns.push_back({before.size(), after.size()});
  }
  return turns;
}

/// The turns that a template with generation blocks marks; nullopt for other templates.
std::optional<std::vector<Turn>> marked_turns(const Json& messages, const Json& variables,
                                              std::string& text, const Encoder& encoder,
                                              std::string_view who) {
  if (!encoder.render_marked) return std::nullopt;
  std::optional<RenderedChat> chat;
  try {
    chat = encoder.render_marked(variables_of(messages, messages.size(), false, variables));
  } catch (const Error& error) {
    throw Error(error.status(),
                cat(who, ": the chat template refuses the messages: ", error.what()));
  }
  if (!chat) return std::nullopt;
  std::vector<Turn> turns;
  for (const TextRange& range : chat->generated) turns.push_back({range.begin, range.end, true});
  text = std::move(chat->text);
  return turns;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// What follows the end-of-turn token (ChatML: "<|im_end|>\n") belongs to the frame, not the turn.
std::size_t end_of_turn(const std::vector<Token>& tokens, const Turn& turn, std::string_view text,
                        const Encoder& encoder) {
  for (std::size_t i = tokens.size(); i-- > 0;) {
    const auto begin = static_cast<std::size_t>(tokens[i].begin);
    const auto end = static_cast<std::size_t>(tokens[i].end);
    if (begin >= turn.end || end == begin) continue;
    if (begin < turn.begin) break;
    const bool ends =
        tokens[i].id == encoder.eos || (encoder.is_special && encoder.is_special(tokens[i].id));
    if (ends && end <= turn.end) {
      return is_blank(text.substr(end, turn.end - end)) ? end : turn.end;
    }
  }
  return turn.end;
}

}  // namespace

Example encode_conversation(const Json& messages, const Json& variables, const Encoder& encoder,
                            std::string_view who) {
  check_messages(messages, who);
  if (!encoder.render) {
    throw Error(GRAFT_E_INVALID, cat(who,
                                     ": the model has no chat template, which messages need. "
                                     "Give one in model.template."));
  }
  std::string text;
  std::optional<std::vector<Turn>> turns = marked_turns(messages, variables, text, encoder, who);
  if (!turns) {
    text = render(messages, messages.size(), false, variables, encoder, who);
    turns = find_turns(messages, variables, text, encoder, who);
  }
  const std::vector<Token> tokens = encoder.encode(text, false);  // the template wrote the specials

  Example example;
  for (const Token& token : tokens) example.ids.push_back(token.id);
  example.labels.assign(tokens.size(), kNoLabel);
  for (const Turn& turn : *turns) {
    const std::size_t end = turn.marked ? turn.end : end_of_turn(tokens, turn, text, encoder);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const bool inside = static_cast<std::size_t>(tokens[i].end) > turn.begin &&
                          static_cast<std::size_t>(tokens[i].begin) < end;
      if (inside) example.labels[i] = tokens[i].id;
    }
  }
  return example;
}

}  // namespace graft::core
