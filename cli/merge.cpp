// graft merge, graft quantize: models on disk.
#include "cli/lines.hpp"
#include "cli/quantization.hpp"
#include "cli/terminal.hpp"

namespace cli {

int merge(const Options& options) {
  if (!options.has("adapter") || !options.has("output")) {
    throw UsageError("'graft merge' needs --adapter DIR and --output DIR.");
  }
  const graft::Engine engine = open_engine(options);
  Json json = Json::parse(model_options(options));
  if (options.has("format")) json["format"] = options.value("format");
  const std::string answer =
      engine.merge(options.positional.at(0), json.dump(), options.value("output"));
  print((options.has("json") ? answer : Json::parse(answer).at("path").get<std::string>()) + "\n");
  return kDone;
}

int quantize(const Options& options) {
  if (!options.has("format") || !options.has("output")) {
    throw UsageError("'graft quantize' needs --format NAME and --output PATH.");
  }
  Json json = quantization(options.value("format"), "format");
  json["threads"] = options.integer("threads", 0);
  const graft::Engine engine = open_engine(options);
  const std::string answer =
      engine.quantize(options.positional.at(0), json.dump(), options.value("output"));
  print((options.has("json") ? answer : Json::parse(answer).at("path").get<std::string>()) + "\n");
  return kDone;
}

}  // namespace cli
