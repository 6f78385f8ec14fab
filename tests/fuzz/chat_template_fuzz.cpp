// A chat template and a conversation with tools.
#include <string_view>

#include "core/base/error.hpp"
#include "core/text/chat_template.hpp"

using namespace graft::core;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Json variables = Json::parse(R"({"messages": [
      {"role": "system", "content": "s"}, {"role": "user", "content": " Hi "},
      {"role": "assistant", "content": null, "tool_calls": [
        {"function": {"name": "f", "arguments": {"a": [1, 2.5, true, "x"]}}}]},
      {"role": "tool", "content": [{"type": "text", "text": "t"}]}],
      "tools": [{"function": {"name": "f", "parameters": {}}}], "add_generation_prompt": true})");
  try {
    ChatTemplate::parse({reinterpret_cast<const char*>(data), size}, {{"bos_token", "<s>"}})
        .render_marked(variables);
  } catch (const Error&) {
    // What is wrong must be said; that it is wrong is no failure.
  }
  return 0;
}
