// Standard output for results, standard error for everything else, and signals.
#pragma once
#include <string>
#include <string_view>

struct graft_session;

namespace cli {

/// Writes to standard output; throws Failure when that does not work.
void print(std::string_view text);
/// Flushes standard output; throws Failure when something could not be written.
void finish_output();

/// A line on standard error, above the status line if there is one.
void say(const std::string& line);
/// The last line of a terminal, rewritten in place; "" removes it. Only when errors_to_terminal().
void set_status_line(const std::string& line);

bool output_to_terminal();
bool errors_to_terminal();
/// Columns of the terminal behind standard error.
int columns();
/// `text` in an SGR colour, where output is a terminal and NO_COLOR is not set.
std::string coloured(std::string_view text, const char* sgr);

/// SIGINT and SIGTERM end the process with status 130 ...
void stop_on_signals();
/// ... but while a session is set they cancel it, the first time.
void cancel_on_signals(graft_session* session);

}  // namespace cli
