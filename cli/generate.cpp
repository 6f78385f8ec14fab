// graft generate and graft chat.
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "cli/lines.hpp"
#include "cli/terminal.hpp"

namespace cli {
namespace {

/// The options as keys of a request; only those that were given.
Json request_of(const Options& options) {
  Json request = Json::object();
  for (const char* name : {"greedy", "ignore-eos", "chat"}) {
    std::string key = name;
    if (key == "ignore-eos") key = "ignore_eos";
    if (options.has(name)) request[key] = true;
  }
  if (options.has("max-new-tokens")) {
    request["max_new_tokens"] = options.integer("max-new-tokens", 0);
  }
  if (options.has("top-k")) request["top_k"] = options.integer("top-k", 0);
  if (options.has("seed")) request["seed"] = options.integer("seed", 0);
  if (options.has("temperature")) request["temperature"] = options.number("temperature", 1);
  if (options.has("top-p")) request["top_p"] = options.number("top-p", 1);
  if (options.has("min-p")) request["min_p"] = options.number("min-p", 0);
  if (options.has("repetition-penalty")) {
    request["repetition_penalty"] = options.number("repetition-penalty", 1);
  }
  if (options.has("system")) request["system"] = options.value("system");
  if (options.has("stop")) request["stop"] = options.all("stop");
  return request;
}

/// What is wrong with the values of options, in the words of the command line.
template <class Work>
auto of_options(const Json& request, Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const graft::Error& e) {
    if (e.status() != GRAFT_E_CONFIG) throw;
    std::string message = e.what();
    for (const auto& [key, value] : request.items()) {
      const std::string pointer = "generate request: /" + key;
      const std::size_t at = message.find(pointer);
      if (at == std::string::npos) continue;
      std::string option = "--" + key;
      std::replace(option.begin(), option.end(), '_', '-');
      message.replace(at, pointer.size(), option);
    }
    throw UsageError(message);
  }
}

/// Prints pieces as they come.
bool stream(std::string_view piece) {
  print(piece);
  finish_output();
  return true;
}

void generate_lines(graft::Model& model, const Json& defaults, const Options& options) {
  LineReader input(options.value("input"));
  LineWriter output(options.value("output"));
  for (std::string line; input.next(line);) {
    Json request = defaults;
    request.update(parse_line(line, input.where()));
    output.write(at_line(input.where(), "generate request",
                         [&] { return model.generate(to_text(request)); }));
  }
  output.finish();
}

}  // namespace

int generate(const Options& options) {
  if (options.has("prompt") == options.has("input")) {
    throw UsageError("'graft generate' needs either --prompt TEXT or --input IN.jsonl.");
  }
  Json request = request_of(options);
  if (options.has("system") && options.has("prompt")) request["chat"] = true;
  const graft::Engine engine = open_engine(options);
  graft::Model model = open_model(engine, options);
  if (options.has("input")) {
    generate_lines(model, request, options);
    return kDone;
  }
  request["prompt"] = options.value("prompt");
  if (options.has("json") || options.has("output")) {
    LineWriter output(options.value("output"));
    output.write(of_options(request, [&] { return model.generate(to_text(request)); }));
    output.finish();
    return kDone;
  }
  of_options(request, [&] { return model.generate(to_text(request), stream); });
  print("\n");
  return kDone;
}

int chat(const Options& options) {
  Json request = request_of(options);
  const graft::Engine engine = open_engine(options);
  graft::Model model = open_model(engine, options);
  const bool asks = ::isatty(STDIN_FILENO) == 1;
  request["messages"] = Json::array();
  for (std::string line;;) {
    if (asks) {
      print(coloured("> ", "1"));
      finish_output();
    }
    if (!std::getline(std::cin, line) || line.empty()) break;
    if (line == "/new") {
      request["messages"] = Json::array();
      continue;
    }
    request["messages"].push_back({{"role", "user"}, {"content", line}});
    const Json answer =
        Json::parse(of_options(request, [&] { return model.generate(to_text(request), stream); }));
    print("\n");
    finish_output();
    request["messages"].push_back({{"role", "assistant"}, {"content", answer["text"]}});
  }
  return kDone;
}

}  // namespace cli
