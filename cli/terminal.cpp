#include "cli/terminal.hpp"

#include <graft/graft.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "cli/command.hpp"

namespace cli {
namespace {

std::mutex errors;
std::string status_line;
std::atomic<graft_session*> running{nullptr};

[[noreturn]] void cannot_write() {
  throw Failure(std::string("cannot write to standard output: ") + std::strerror(errno) + ".");
}

void on_signal(int) {
  graft_session* session = running.exchange(nullptr);
  if (!session) ::_exit(kInterrupted);
  graft_session_cancel(session);
  constexpr char text[] =
      "\ngraft: stopping after this step; the same signal again stops at once.\n";
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text, sizeof text - 1);
}

}  // namespace

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) cannot_write();
}

void finish_output() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) cannot_write();
}

void say(const std::string& line) {
  const std::lock_guard lock(errors);
  std::string text = status_line.empty() ? "" : "\r\x1b[K";
  text += line + "\n" + status_line;
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void set_status_line(const std::string& line) {
  const std::lock_guard lock(errors);
  std::fputs(("\r\x1b[K" + line).c_str(), stderr);
  std::fflush(stderr);
  status_line = line;
}

bool output_to_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}
bool errors_to_terminal() {
  return ::isatty(STDERR_FILENO) == 1;
}

int columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string coloured(std::string_view text, const char* sgr) {
  const char* no_color = std::getenv("NO_COLOR");
  if (!output_to_terminal() || (no_color && *no_color)) return std::string(text);
  return "\x1b[" + std::string(sgr) + "m" + std::string(text) + "\x1b[0m";
}

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

void cancel_on_signals(graft_session* session) {
  running = session;
}

}  // namespace cli
