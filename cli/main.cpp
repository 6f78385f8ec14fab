// graft: the command. A thin client of graft.h.
#include <fcntl.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <graft/graft.hpp>
#include <new>

#include "cli/command.hpp"
#include "cli/terminal.hpp"

namespace {

using namespace cli;

const std::vector<std::string> kPlanned = {"adapter", "quantize"};

[[noreturn]] void unknown(const std::string& name) {
  if (std::find(kPlanned.begin(), kPlanned.end(), name) != kPlanned.end()) {
    throw UsageError("'graft " + name + "' is not there yet. 'graft' lists what is.");
  }
  std::vector<std::string> known = {"help"};
  for (const Command& c : commands()) known.emplace_back(c.name);
  throw UsageError("there is no command '" + name + "'." + did_you_mean(name, known) +
                   " 'graft' lists them.");
}

const Command& command_named(const std::string& name) {
  for (const Command& c : commands()) {
    if (name == c.name) return c;
  }
  unknown(name);
}

/// A thread that waits for the others keeps its core for a moment before it sleeps. While training,
/// a long moment gains nothing, and where something else wants the core it costs a whole slice of
/// the scheduler; the kernels of a single token follow each other too fast to sleep between them.
/// Libraries that parallelise with OpenMP read this when they are loaded.
void wait_briefly(const std::string& command) {
  const bool decodes = command == "generate" || command == "chat";
  if (decodes || std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  ::setenv("GOMP_SPINCOUNT", "1500", 0);
}

int run(std::vector<std::string> arguments) {
  if (!arguments.empty() && arguments[0] == "--version") arguments[0] = "version";
  const bool asks = arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" ||
                    arguments[0] == "help";
  if (asks) {
    print(arguments.size() > 1 ? help_of(command_named(arguments[1])) : help());
    return kDone;
  }
  const Command& command = command_named(arguments[0]);
  const Options options = parse(command, {arguments.begin() + 1, arguments.end()});
  if (options.has("help")) {
    print(help_of(command));
    return kDone;
  }
  wait_briefly(arguments[0]);
  return command.run(options);
}

/// Standard files that the caller closed are opened on nothing: else the next file that is opened
/// would take their place, and messages would go into it.
void take_standard_files() {
  for (int file = 0; file <= 2; ++file) {
    if (::fcntl(file, F_GETFD) < 0) {
      [[maybe_unused]] const int opened = ::open("/dev/null", file == 0 ? O_RDONLY : O_WRONLY);
    }
  }
}

int complain(const char* message, int status) {
  say(std::string("graft: ") + message);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  take_standard_files();
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error of writing, which is reported
  std::signal(SIGXFSZ, SIG_IGN);  // likewise a file that may not grow
  stop_on_signals();
  try {
    const int status = run({argv + 1, argv + argc});
    finish_output();
    return status;
  } catch (const UsageError& e) {
    return complain(e.what(), kUsage);
  } catch (const graft::Error& e) {
    return complain(e.what(), e.status() == GRAFT_E_CONFIG ? kUsage : kFailed);
  } catch (const std::bad_alloc&) {
    return complain("out of memory.", kFailed);
  } catch (const std::exception& e) {
    return complain(e.what(), kFailed);
  }
}
