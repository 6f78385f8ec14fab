#include "core/train/fused.hpp"

#include <algorithm>
#include <optional>

#include "core/adapt/adapter_files.hpp"
#include "core/base/error.hpp"
#include "core/plugin/texts.hpp"
#include "core/train/run_config.hpp"

namespace graft::core {
namespace {

constexpr const char* kMark = "x-graft-adapters";

/// The property that is so marked, and the method whose adapters it lists.
std::pair<std::string, std::string> marked(const graft_method_api& api) {
  const Json& schema = plugin_json(api.config_schema, api.name);
  const Json properties = schema.value("properties", Json::object());
  for (const auto& [name, property] : properties.items()) {
    if (property.is_object() && property.contains(kMark)) {
      return {name, property[kMark].get<std::string>()};
    }
  }
  return {};
}

/// The adapter's name in its files; for one that has none, its folder's.
std::string name_of(const fs::path& folder) {
  const std::string name = adapter_name(folder);
  if (!name.empty()) return name;
  const fs::path plain = folder.lexically_normal();
  return (plain.has_filename() ? plain : plain.parent_path()).filename().string();
}

/// The folder that a fusion of its own time was trained with.
std::optional<fs::path> known_folder(const Json& folders, const std::string& name) {
  for (const Json& folder : folders) {
    const fs::path path = folder.get<std::string>();
    if (fs::is_directory(path) && name_of(path) == name) return path;
  }
  return std::nullopt;
}

}  // namespace

std::string fused_option(const graft_method_api& api) {
  return marked(api).first;
}

std::vector<bool> fuse(std::vector<MethodEntry>& entries, const std::vector<fs::path>& folders,
                       Registry& registry) {
  std::vector<bool> remains(entries.size(), true);
  for (std::size_t e = 0; e < entries.size(); ++e) {
    MethodEntry& entry = entries[e];
    const auto [option, method] = marked(entry.api);
    if (option.empty()) continue;
    Json paths = entry.options.value(option, Json::array());
    if (entry.loaded && !entry.fuses.empty()) {
      const Json trained_with = paths;
      paths = Json::array();
      for (const std::string& name : entry.fuses) {
        std::optional<fs::path> found;
        for (std::size_t i = 0; i < e && !found; ++i) {
          if (folders[i].empty() || !remains[i] || name_of(folders[i]) != name) continue;
          remains[i] = false;
          found = folders[i];
        }
        if (!found) found = known_folder(trained_with, name);
        if (!found) {
          throw Error(GRAFT_E_INVALID,
                      cat("'", folders[e].string(), "' fuses the adapter '", name,
                          "', which is not given. Give its folder before that of the fusion."));
        }
        paths.push_back(found->string());
      }
      entry.options[option] = paths;
    }
    Json seen = Json::array();
    entry.fuses.clear();
    for (const Json& path : paths) {
      const fs::path folder = path.get<std::string>();
      const MethodEntry inner = loaded_entry(folder, registry);
      const std::string name = name_of(folder);
      if (inner.api.name != method) {
        throw Error(GRAFT_E_INVALID,
                    cat("'", folder.string(), "' is an adapter of the method '", inner.api.name,
                        "'; only those of '", method, "' can be fused."));
      }
      if (std::find(entry.fuses.begin(), entry.fuses.end(), name) != entry.fuses.end()) {
        throw Error(GRAFT_E_INVALID, cat("two adapters called '", name, "' cannot be fused; ",
                                         "give one of them another name."));
      }
      entry.fuses.push_back(name);
      seen.push_back({{"name", name}, {"path", folder.string()}, {"options", inner.options}});
    }
    entry.tokens[option] = seen;
  }
  return remains;
}

}  // namespace graft::core
