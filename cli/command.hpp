// The commands, their options, and what both are made of.
#pragma once
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cli {

/// Exit statuses.
enum Exit { kDone = 0, kFailed = 1, kUsage = 2, kInterrupted = 130 };

/// The command line or its JSON is wrong: exit status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The work failed for a reason of the command's own: exit status 1.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A parsed command line.
struct Options {
  std::vector<std::string> positional;
  std::map<std::string, std::vector<std::string>> values;      ///< a flag has one empty value
  std::vector<std::pair<std::string, std::string>> overrides;  ///< KEY.PATH, VALUE
  std::vector<std::string> raw;                                ///< all arguments as they came

  bool has(const std::string& name) const { return values.count(name) != 0; }
  /// The last value given, or `otherwise`.
  std::string value(const std::string& name, const std::string& otherwise = {}) const;
  const std::vector<std::string>& all(const std::string& name) const;
  /// A whole number not below `minimum`.
  long long integer(const std::string& name, long long otherwise, long long minimum = 0) const;
  double number(const std::string& name, double otherwise) const;
};

struct Option {
  const char* name;   ///< without the dashes
  const char* value;  ///< what its value is called; NULL: a flag
  const char* help;
};

struct Command {
  const char* name;
  const char* arguments;  ///< "MODEL --input IN.jsonl"
  const char* summary;
  const char* details;  ///< after the summary in --help; may be ""
  const char* example;
  std::size_t least, most;  ///< positional arguments
  std::vector<Option> options;
  bool overrides;  ///< takes --KEY.PATH VALUE
  int (*run)(const Options&);
};

const std::vector<Command>& commands();

/// Arguments after the command's name. Throws UsageError.
Options parse(const Command& command, const std::vector<std::string>& arguments);
std::string help_of(const Command& command);
/// The list of commands.
std::string help();
/// " Did you mean 'x'?", or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

int train(const Options&);
int plan(const Options&);
int score(const Options&);
int generate(const Options&);
int chat(const Options&);
int merge(const Options&);
int quantize(const Options&);
int inspect(const Options&);
int tokenize(const Options&);
int apply_template(const Options&);
int plugins(const Options&);
int schema(const Options&);
int version(const Options&);

}  // namespace cli
