// Files of lines, the engine and models as the options name them.
#pragma once
#include <cstdio>
#include <fstream>
#include <graft/graft.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/command.hpp"

namespace cli {

using Json = nlohmann::ordered_json;

/// One line of JSON; text that is no UTF-8 is mended.
std::string to_text(const Json& json);

/// Lines of a file, or of standard input for "-". Blank lines are passed over.
class LineReader {
 public:
  explicit LineReader(const std::string& path);
  bool next(std::string& line);
  /// "in.jsonl:12"
  std::string where() const { return name_ + ":" + std::to_string(number_); }

 private:
  std::string name_;
  std::ifstream file_;
  std::istream* stream_;
  long long number_ = 0;
};

/// Where lines go: a file, or standard output for "-" and "". A line is written when it is given, to
/// PATH.part; finish() gives the file its name. So a file of that name, which may be the input, stays
/// as it is until all is done; after an error PATH.part holds what was done.
class LineWriter {
 public:
  explicit LineWriter(const std::string& path);
  ~LineWriter();
  void finish();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  void write(const std::string& line);

 private:
  std::string path_, part_;  // part_ is path_ for what is no plain file: /dev/full, a pipe
  std::FILE* file_ = nullptr;
};

/// The line as an object. Throws Failure with `where`.
Json parse_line(const std::string& line, const std::string& where);

/// Runs `work`, which answers one line; an error is thrown on as a Failure that begins with `where`
/// instead of the library's name for the line.
template <class Work>
auto at_line(const std::string& where, const char* librarys_name, Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const graft::Error& e) {
    std::string message = e.what();
    const std::string begin = librarys_name;
    message = message.rfind(begin, 0) == 0 ? message.substr(begin.size()) : ": " + message;
    throw Failure(where + message);
  }
}

/// An engine that logs to standard error.
graft::Engine open_engine(const Options& options);
/// --adapter, --backend, --dtype and --threads as options of a model.
std::string model_options(const Options& options);

/// The model of the first positional argument, with adapters, backend, dtype and threads.
graft::Model open_model(const graft::Engine& engine, const Options& options);

}  // namespace cli
