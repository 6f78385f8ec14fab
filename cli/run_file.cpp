#include "cli/run_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>
#include <sstream>

#include "cli/lines.hpp"
#include "cli/quantization.hpp"

namespace cli {
namespace {

namespace fs = std::filesystem;

std::string read(const std::string& path) {
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  std::ifstream file(path, std::ios::binary);
  if (!file || fs::is_directory(path)) {
    throw UsageError(
        "cannot read '" + path +
        "': " + (file ? "it is a folder; a RUN.json is expected" : std::strerror(errno)) + ".");
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

/// "3:14", from the number of bytes before.
std::string place(const std::string& text, std::size_t bytes) {
  bytes = std::min(bytes, text.size());
  const auto line =
      std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bytes), '\n');
  const std::size_t start = bytes == 0 ? std::string::npos : text.rfind('\n', bytes - 1);
  const std::size_t column = start == std::string::npos ? bytes : bytes - start - 1;
  return std::to_string(line + 1) + ":" + std::to_string(column + 1);
}

/// Parses; a key that is there twice is an error.
Json parse_run(const std::string& text, const std::string& name) {
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      throw UsageError(name + ": the key \"" + value.get<std::string>() +
                       "\" is there twice in one object.");
    }
    return true;
  };
  try {
    Json json = Json::parse(text, watch);
    if (json.is_object()) return json;
  } catch (const Json::parse_error& e) {
    const std::string what = e.what();
    const std::size_t detail = what.find(": ");
    throw UsageError(name + ":" + place(text, e.byte == 0 ? 0 : e.byte - 1) + ": not JSON" +
                     (detail == std::string::npos ? "" : what.substr(detail)) + ".");
  } catch (const Json::exception& e) {
    throw UsageError(name + ": not JSON: " + e.what());
  }
  throw UsageError(name + ": an object {..} is expected.");
}

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts;
  std::stringstream stream(path);
  for (std::string part; std::getline(stream, part, '.');) parts.push_back(part);
  return parts;
}

bool is_index(const std::string& part) {
  return !part.empty() && part.size() < 7 &&
         part.find_first_not_of("0123456789") == std::string::npos;
}

/// The value at a dotted path; what is missing on the way is made.
Json& at_path(Json& root, const std::string& path) {
  Json* at = &root;
  std::string done;
  for (const std::string& part : split(path)) {
    if (at->is_null() && is_index(part)) *at = Json::array();
    if (at->is_array()) {
      if (!is_index(part) || std::stoul(part) > at->size()) {
        throw UsageError("--" + path + ": '" + part + "' is no place in the list '" + done +
                         "' of " + std::to_string(at->size()) + "; they count from 0.");
      }
      const std::size_t index = std::stoul(part);
      if (index == at->size()) at->push_back(nullptr);
      at = &(*at)[index];
    } else if (at->is_object() || at->is_null()) {
      at = &(*at)[part];
    } else {
      throw UsageError("--" + path + ": '" + done + "' is " + to_text(*at) +
                       ", which has no keys of its own.");
    }
    done += (done.empty() ? "" : ".") + part;
  }
  return *at;
}

/// Is it a key whose value is a path?
bool is_path(const std::string& key) {
  for (const char* name :
       {"model.path", "model.template", "data.train", "data.eval", "output.dir"}) {
    if (key == name) return true;
  }
  const std::vector<std::string> parts = split(key);
  if (parts.size() > 2 && parts[0] == "runs") {  // "runs.0.data.train"
    return is_path(key.substr(parts[0].size() + parts[1].size() + 2));
  }
  const bool method = parts.size() == 3 && parts[0] == "methods" && parts[2] == "load";
  const bool source = parts.size() == 4 && key.rfind("data.train.", 0) == 0 && parts[3] == "path";
  return method || source;
}

Json path_value(const std::string& text) {
  if (text == "-" || text.empty()) return text;
  return fs::absolute(text).lexically_normal().string();
}

Json parsed(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json(text) : json;
}

Json override_value(const std::string& key, const std::string& text) {
  if (!is_path(key)) return parsed(text);
  Json list = parsed(text);
  if (!list.is_array()) return path_value(text);
  for (Json& item : list) {
    if (item.is_object() && item.contains("path") && item["path"].is_string()) {
      item["path"] = path_value(item["path"].get<std::string>());
    }
  }
  return list;
}

}  // namespace

RunFile read_run_file(const Options& options) {
  const std::string& path = options.positional.at(0);
  const std::string name = path == "-" ? "standard input" : path;
  Json json = parse_run(read(path), name);
  if (options.has("backend")) {
    Json& backend = at_path(json, "backend");
    const std::string wanted = options.value("backend");
    // Options of another backend mean nothing to this one.
    if (backend.is_object() && backend.value("type", wanted) != wanted) {
      const Json threads = backend.value("threads", Json());
      backend = Json::object();
      if (!threads.is_null()) backend["threads"] = threads;
    }
    at_path(json, "backend.type") = wanted;
  }
  if (options.has("dtype")) at_path(json, "model.dtype") = options.value("dtype");
  if (options.has("quantize")) {
    at_path(json, "model.quantization") = quantization(options.value("quantize"));
  }
  if (options.has("threads")) at_path(json, "backend.threads") = options.integer("threads", 0);
  for (const auto& [key, value] : options.overrides) {
    at_path(json, key) = override_value(key, value);
  }
  const fs::path folder = path == "-" ? fs::current_path() : fs::absolute(path).parent_path();
  return {to_text(json), folder.string()};
}

}  // namespace cli
