#include "cli/lines.hpp"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <utility>

#include "cli/quantization.hpp"
#include "cli/terminal.hpp"

namespace cli {

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

LineReader::LineReader(const std::string& path)
    : name_(path == "-" ? "standard input" : path), stream_(&std::cin) {
  if (path == "-") return;
  if (std::filesystem::is_directory(path)) {
    throw Failure("cannot read '" + path + "': it is a folder; a file of lines is expected.");
  }
  file_.open(path);
  if (!file_) throw Failure("cannot read '" + path + "': " + std::strerror(errno) + ".");
  stream_ = &file_;
}

bool LineReader::next(std::string& line) {
  while (std::getline(*stream_, line)) {
    ++number_;
    if (line.find_first_not_of(" \t\r") != std::string::npos) return true;
  }
  return false;
}

LineWriter::LineWriter(const std::string& path) : path_(path) {
  if (path.empty() || path == "-") return;
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) {
    throw Failure("cannot write '" + path + "': it is a folder.");
  }
  if (std::filesystem::is_symlink(path, failed)) {
    path_ = std::filesystem::weakly_canonical(path, failed).string();
  }
  const bool plain =
      !std::filesystem::exists(path_, failed) || std::filesystem::is_regular_file(path_, failed);
  part_ = plain ? path_ + ".part" : path_;
  if (plain && ::access(path_.c_str(), F_OK) == 0 && ::access(path_.c_str(), W_OK) != 0) {
    throw Failure("cannot write '" + path + "': " + std::strerror(errno) + ".");
  }
  file_ = std::fopen(part_.c_str(), "we");
  if (!file_) throw Failure("cannot write '" + path + "': " + std::strerror(errno) + ".");
}

LineWriter::~LineWriter() {
  if (file_) std::fclose(file_);
}

void LineWriter::finish() {
  if (!file_) return;
  std::FILE* file = std::exchange(file_, nullptr);
  const bool whole = std::fclose(file) == 0;
  if (!whole || (part_ != path_ && std::rename(part_.c_str(), path_.c_str()) != 0)) {
    throw Failure("cannot write '" + path_ + "': " + std::strerror(errno) + ".");
  }
}

void LineWriter::write(const std::string& line) {
  if (!file_) {
    print(line + "\n");
    finish_output();
    return;
  }
  if (std::fputs((line + "\n").c_str(), file_) < 0 || std::fflush(file_) != 0) {
    throw Failure("cannot write '" + part_ + "': " + std::strerror(errno) + ".");
  }
}

Json parse_line(const std::string& line, const std::string& where) {
  try {
    Json json = Json::parse(line);
    if (json.is_object()) return json;
  } catch (const Json::exception& e) {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: ..."
    const std::string text = e.what();
    const std::size_t detail = text.find(": ");
    const std::size_t column = text.find("column ");
    throw Failure(where + ": not JSON" +
                  (column < detail ? " at " + text.substr(column, detail - column) : "") +
                  (detail == std::string::npos ? "" : text.substr(detail)) + ".");
  }
  throw Failure(where + ": an object {..} is expected.");
}

graft::Engine open_engine(const Options& options) {
  Json config = Json::object();
  for (const std::string& folder : options.all("plugin-dir")) {
    config["plugin_dirs"].push_back(std::filesystem::absolute(folder).string());
  }
  graft::Engine engine(to_text(config));
  engine.set_log(
      [](std::int32_t level, std::string_view source, std::string_view message) {
        if (level < 2 && source == "plugins") return;  // graft plugins tells
        say((level >= 2 ? "graft: warning: " : "graft: ") + std::string(message));
      },
      options.has("quiet") ? 3 : 1);
  return engine;
}

std::string model_options(const Options& options) {
  Json json = {{"dtype", options.value("dtype", "auto")},
               {"threads", options.integer("threads", 0)}};
  if (options.has("backend")) json["backend"] = options.value("backend");
  if (options.has("quantize")) json["quantization"] = quantization(options.value("quantize"));
  for (const std::string& adapter : options.all("adapter")) {
    std::string path = adapter;
    double strength = 1;
    const std::size_t equals = adapter.rfind('=');
    if (equals != std::string::npos && !std::filesystem::exists(adapter)) {
      char* end = nullptr;
      path = adapter.substr(0, equals);
      strength = std::strtod(adapter.c_str() + equals + 1, &end);
      if (*end || equals + 1 == adapter.size() || !std::isfinite(strength)) {
        throw UsageError("--adapter " + adapter + ": '" + adapter.substr(equals + 1) +
                         "' is no strength; DIR=0.5 is meant.");
      }
    }
    json["adapters"].push_back({{"path", path}, {"strength", strength}});
  }
  return to_text(json);
}

graft::Model open_model(const graft::Engine& engine, const Options& options) {
  return graft::Model(engine, options.positional.at(0), model_options(options));
}

}  // namespace cli
