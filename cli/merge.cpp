// graft merge.
#include "cli/lines.hpp"
#include "cli/terminal.hpp"

namespace cli {

int merge(const Options& options) {
  if (!options.has("adapter") || !options.has("output")) {
    throw UsageError("'graft merge' needs --adapter DIR and --output DIR.");
  }
  const graft::Engine engine = open_engine(options);
  const std::string answer =
      engine.merge(options.positional.at(0), model_options(options), options.value("output"));
  print((options.has("json") ? answer : Json::parse(answer).at("path").get<std::string>()) + "\n");
  return kDone;
}

}  // namespace cli
