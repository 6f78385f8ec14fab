#include "cli/progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/terminal.hpp"

namespace cli {
namespace {

std::string format(const char* how, double value) {
  char text[48];
  std::snprintf(text, sizeof text, how, value);
  return text;
}

/// "1:02:03" or "2:03"
std::string clock_text(double seconds) {
  const long long s = std::llround(seconds);
  char text[48];
  if (s >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", s / 60, s % 60);
  }
  return text;
}

std::string bar(double done, int width) {
  const int full = std::clamp(static_cast<int>(done * width), 0, width);
  return "[" + std::string(static_cast<std::size_t>(full), '#') +
         std::string(static_cast<std::size_t>(width - full), '.') + "]";
}

double number(const Json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_number() ? found->get<double>() : 0;
}

}  // namespace

Progress::Progress(bool shown) : shown_(shown), bar_(shown && errors_to_terminal()) {}

Progress::~Progress() {
  if (bar_) set_status_line("");
}

std::string Progress::steps() const {
  std::string text;
  for (const auto& [name, run] : runs_) {
    text += (text.empty() ? "" : " and ") + ("step " + std::to_string(run.step));
    if (!name.empty()) text += " of " + name;
  }
  return text.empty() ? "step 0" : text;
}

void Progress::event(const Json& event) {
  const std::string kind = event.value("event", ""), name = event.value("run", "");
  const std::string prefix = name.empty() ? "" : name + ": ";
  if (kind == "start") {
    runs_[name] = {};
    runs_[name].steps = static_cast<long long>(number(event, "steps"));
  } else if (kind == "end") {
    if (bar_) set_status_line("");
    if (shown_) {
      const double seconds = number(event, "seconds");
      say("graft: " + prefix + format("%.0f steps in all, ", number(event, "steps")) +
          format("%.0f tokens; this time ", number(event, "tokens")) + clock_text(seconds) +
          format(" minutes, peak memory %.2f GiB",
                 number(event, "peak_resident_bytes") / (1 << 30)));
    }
  } else if (kind == "note") {
    if (shown_) say("graft: " + prefix + event.value("text", ""));
  } else if (kind == "checkpoint") {
    if (shown_ && !bar_) say("graft: " + prefix + "checkpoint " + event.value("path", ""));
  } else if (event.contains("eval_loss")) {
    if (shown_) {
      say(prefix + format("step %6.0f", number(event, "step")) +
          format("  eval loss %.4f", number(event, "eval_loss")) +
          format(" over %.0f tokens", number(event, "eval_tokens")));
    }
  } else if (event.contains("loss")) {
    step_event(event, runs_[name], prefix);
  }
}

/// One line for several runs: how far each is and its loss.
void Progress::show_all() const {
  std::string line;
  for (const auto& [name, run] : runs_) line += (line.empty() ? "" : "  ") + run.in_short;
  line.resize(std::min<std::size_t>(line.size(), static_cast<std::size_t>(columns() - 1)));
  set_status_line(line);
}

void Progress::step_event(const Json& event, One& run, const std::string& prefix) {
  run.step = static_cast<long long>(number(event, "step"));
  if (!shown_) return;
  if (run.first < 0) run.first = run.step - 1;
  run.seconds += number(event, "seconds");
  const double eta = run.seconds / static_cast<double>(std::max(1LL, run.step - run.first)) *
                     static_cast<double>(std::max(0LL, run.steps - run.step));
  const std::string numbers = format("loss %.4f", number(event, "loss")) +
                              format("  %.0f tokens/s", number(event, "tokens_per_s")) +
                              format("  lr %.2e", number(event, "lr")) + "  ETA " + clock_text(eta);
  const std::string count = std::to_string(run.step) + "/" + std::to_string(run.steps);
  run.in_short = prefix + count + format(" loss %.4f", number(event, "loss"));
  if (bar_ && runs_.size() > 1) return show_all();
  if (bar_) {
    const int room = columns() - 1 - static_cast<int>(count.size() + numbers.size()) - 6;
    const double done =
        static_cast<double>(run.step) / static_cast<double>(std::max(1LL, run.steps));
    std::string line = count + "  ";
    if (room >= 8) line += bar(done, std::min(room, 30)) + "  ";
    line += numbers;
    line.resize(std::min<std::size_t>(line.size(), static_cast<std::size_t>(columns() - 1)));
    set_status_line(line);
    return;
  }
  const long long every = std::max(1LL, run.steps / 50);
  if (run.step % every == 0 || run.step == run.steps || run.step == run.first + 1)
    say(prefix + "step " + count + "  " + numbers);
}

}  // namespace cli
