// graft plugins, schema and version.
#include <algorithm>

#include "cli/lines.hpp"
#include "cli/terminal.hpp"

namespace cli {
namespace {

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size() + 1, width), ' ');
  return text;
}

std::string shown(const Json& value) {
  return value.is_string() ? value.get<std::string>() : to_text(value);
}

std::string type_text(const Json& option) {
  if (option.contains("enum")) {
    std::string text;
    for (const Json& value : option["enum"]) text += (text.empty() ? "" : "|") + shown(value);
    return text;
  }
  if (option.contains("type")) {
    return option["type"].is_array() ? to_text(option["type"]) : shown(option["type"]);
  }
  std::string text;
  for (const Json& one : option.value("anyOf", Json::array())) {
    text += (text.empty() ? "" : " or ") + type_text(one);
  }
  return text;
}

void print_options(const Json& schema) {
  const auto properties = schema.find("properties");
  if (properties == schema.end() || properties->empty()) return;
  print("  options\n");
  for (const auto& [name, option] : properties->items()) {
    std::string line = "    " + padded(name, 20) + padded(type_text(option), 20);
    if (option.contains("default")) line += "default " + to_text(option["default"]) + "  ";
    if (option.contains("description")) line += shown(option["description"]);
    print(line + "\n");
  }
}

void print_plugin(const Json& plugin) {
  print(shown(plugin["kind"]) + " " + shown(plugin["name"]) + "\n");
  for (const char* key :
       {"id", "version", "abi", "vendor", "license", "path", "sha256", "problem"}) {
    if (plugin.contains(key) && plugin[key] != "") {
      print("  " + padded(key, 12) + shown(plugin[key]) + "\n");
    }
  }
  if (plugin.contains("options")) print_options(plugin["options"]);
}

}  // namespace

int plugins(const Options& options) {
  const graft::Engine engine = open_engine(options);
  const bool one = !options.positional.empty();
  const std::string answer = engine.plugins(one ? options.positional[0] : "");
  if (options.has("json")) {
    print(answer + "\n");
    return kDone;
  }
  const Json json = Json::parse(answer);
  if (one) {
    for (const Json& plugin : json["plugins"]) print_plugin(plugin);
    return kDone;
  }
  for (const Json& p : json["plugins"]) {
    std::string line = padded(shown(p["kind"]), 11) + padded(shown(p["name"]), 16);
    if (p.contains("problem")) {
      line += "cannot be used: " + shown(p["problem"]);
    } else {
      line +=
          padded(shown(p["version"]), 10) + "ABI " + padded(shown(p["abi"]), 6) + shown(p["path"]);
      if (p.value("shadowed", false)) line += " (another of this name comes first)";
    }
    print(line + "\n");
  }
  print("folders\n");
  for (const Json& folder : json["folders"]) print("  " + shown(folder) + "\n");
  return kDone;
}

int schema(const Options& options) {
  const graft::Engine engine = open_engine(options);
  print(Json::parse(engine.schema(options.value("plugin"))).dump(2) + "\n");
  return kDone;
}

int version(const Options& options) {
  const std::uint32_t abi = graft_abi_version();
  const std::string abi_text = std::to_string(abi >> 16) + "." + std::to_string(abi & 0xffff);
  if (options.has("json")) {
    print(to_text({{"version", graft::version()}, {"abi", abi_text}}) + "\n");
  } else {
    print("graft " + graft::version() + " (ABI " + abi_text + ")\n");
  }
  return kDone;
}

}  // namespace cli
