// graft score.
#include <cmath>
#include <cstdio>

#include "cli/lines.hpp"
#include "cli/terminal.hpp"

namespace cli {
namespace {

/// Tokens of a line that its loss is the mean of.
long long tokens_of(const Json& line) {
  if (line["loss"].is_null()) return 0;
  if (line.contains("loss_tokens")) return line["loss_tokens"];
  return static_cast<long long>(line["logprobs"].size()) - 1;
}

}  // namespace

int score(const Options& options) {
  if (!options.has("input")) {
    throw UsageError("'graft score' needs --input IN.jsonl ('-' is standard input).");
  }
  const long long top = options.integer("top", 0);
  LineReader input(options.value("input"));
  const graft::Engine engine = open_engine(options);
  graft::Model model = open_model(engine, options);
  LineWriter output(options.value("output"));
  double sum = 0;
  long long tokens = 0, lines = 0;
  for (std::string line; input.next(line); ++lines) {
    parse_line(line, input.where());  // also finds what a C string cannot hold
    const std::string answer = at_line(
        input.where(), "input", [&] { return model.score(line, static_cast<std::int32_t>(top)); });
    output.write(answer);
    const Json json = Json::parse(answer);
    const long long n = tokens_of(json);
    if (n > 0) sum += json["loss"].get<double>() * static_cast<double>(n);
    tokens += n;
  }
  output.finish();
  if (options.has("quiet")) return kDone;
  char text[160];
  if (tokens > 0) {
    const double loss = sum / static_cast<double>(tokens);
    std::snprintf(text, sizeof text,
                  "graft: %lld lines, %lld tokens, mean loss %.6f, perplexity %.4f", lines, tokens,
                  loss, std::exp(loss));
  } else {
    std::snprintf(text, sizeof text, "graft: %lld lines, 0 tokens", lines);
  }
  say(text);
  return kDone;
}

}  // namespace cli
