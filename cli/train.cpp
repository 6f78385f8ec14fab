// graft train and graft plan.
#include <algorithm>
#include <sstream>

#include "cli/lines.hpp"
#include "cli/profile.hpp"
#include "cli/progress.hpp"
#include "cli/run_file.hpp"
#include "cli/terminal.hpp"

namespace cli {
namespace {

/// A word of a shell command line.
std::string quoted(const std::string& word) {
  const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

/// The command line that goes on with this run.
std::string resume_command(const Options& options) {
  std::string text = "graft train";
  for (const std::string& word : options.raw) {
    if (word != "--force" && word != "--resume") text += " " + quoted(word);
  }
  return text + " --resume";
}

/// The session; what is wrong with RUN.json itself is an error of usage.
graft::Session open_session(const graft::Engine& engine, const Options& options) {
  const RunFile run = read_run_file(options);
  const Json how = {{"resume", options.has("resume")},
                    {"force", options.has("force")},
                    {"profile", options.has("profile")}};
  try {
    return graft::Session(engine, run.json, run.base_dir, to_text(how));
  } catch (const graft::Error& e) {
    if (e.status() != GRAFT_E_CONFIG) throw;
    const std::string message = e.what();
    const std::string librarys_name = "run.json";
    const std::string& path = options.positional.at(0);
    const std::string name = path == "-" ? "standard input" : path;
    std::string text;
    std::istringstream lines(message);
    for (std::string line; std::getline(lines, line);) {
      const bool its = line.rfind(librarys_name, 0) == 0;
      text += (text.empty() ? "" : "\n") + (its ? name + line.substr(librarys_name.size()) : line);
    }
    throw UsageError(text);
  }
}

struct CancelOnSignals {
  explicit CancelOnSignals(const graft::Session& session) { cancel_on_signals(session.get()); }
  ~CancelOnSignals() { cancel_on_signals(nullptr); }
};

}  // namespace

int plan(const Options& options) {
  const graft::Engine engine = open_engine(options);
  const graft::Session session = open_session(engine, options);
  print(options.has("json") ? session.plan_json() + "\n" : session.plan_text());
  return kDone;
}

int train(const Options& options) {
  if (options.has("dry-run")) return plan(options);
  if (options.has("resume") && options.has("force")) {
    throw UsageError("--resume goes on with a run, --force begins it anew: give one of the two.");
  }
  const graft::Engine engine = open_engine(options);
  graft::Session session = open_session(engine, options);
  const Json config = Json::parse(session.config());
  const std::string folder = config["output"]["dir"];
  const Json& log = config["output"]["log"];
  const bool json = options.has("json");
  const bool shown =
      !options.has("quiet") && std::find(log.begin(), log.end(), "progress") != log.end();
  bool whole = false;
  std::string profile;
  std::string steps;
  {
    Progress progress(shown);
    const CancelOnSignals signals(session);
    whole = session.run([&](std::string_view event) {
      if (json) {
        print(std::string(event) + "\n");
        finish_output();
      }
      const Json parsed = Json::parse(event);
      progress.event(parsed);
      if (parsed.value("event", "") == "profile") profile = profile_text(parsed);
    });
    steps = progress.steps();
  }
  if (!whole) {
    say("graft: interrupted after " + steps + "; everything is saved in '" + folder +
        "'. Go on with: " + resume_command(options));
    return kInterrupted;
  }
  if (!json) print(profile);
  if (!json && !options.has("quiet")) print(folder + "\n");
  return kDone;
}

}  // namespace cli
