// Which plugins there are, by name. Files are found when the registry is made and loaded when they
// are first asked for.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/log.hpp"
#include "core/plugin/loader.hpp"

namespace graft::core {

enum class PluginKind { kMethod, kOptimizer, kBackend };
std::string_view to_string(PluginKind kind);

struct PluginInfo {
  PluginKind kind;
  std::string name;  // the "type" in RUN.json
  std::string id, version, vendor, license, abi, sha256;
  fs::path path;
  bool shadowed =
      false;            // a file of this name in an earlier folder is used; this one is not loaded
  std::string problem;  // why it cannot be used; then only kind, name and path are known
};

struct RegistryOptions {
  std::vector<fs::path> folders;  // searched before all others
  bool environment = true;        // the folders in GRAFT_PLUGIN_PATH
  bool installed = true;          // the folders beside libgraft
  bool allow_load_by_path = false;
  Log log;
};

/// The folders that are searched, in this order, each canonical and once: those of the options,
/// GRAFT_PLUGIN_PATH (not under setuid), beside libgraft, where it was configured to be installed.
/// Throws GRAFT_E_NOT_FOUND for a folder of the options that is not there.
std::vector<fs::path> plugin_folders(const RegistryOptions& options);

/// Any thread. Tables and their texts live as long as the registry.
class Registry {
 public:
  explicit Registry(RegistryOptions options = {});

  /// Throw GRAFT_E_NOT_FOUND for an unknown name, telling the nearest, all, and where it was looked
  /// for; and whatever load_plugin() throws.
  const graft_method_api& method(std::string_view name);
  const graft_optimizer_api& optimizer(std::string_view name);
  const graft_backend_api& backend(std::string_view name);

  /// The backend whose probe() answers the highest. Ones that cannot be loaded are warned of.
  const graft_backend_api& default_backend();

  /// From the file names, nothing is loaded; sorted.
  std::vector<std::string> names(PluginKind kind) const;
  /// Loads it.
  PluginInfo info(PluginKind kind, std::string_view name);
  /// Everything that was found, by kind and name; loads what it lists.
  std::vector<PluginInfo> list();

  /// Adds the plugins in a file that lies anywhere; they win over those that were found. Throws
  /// GRAFT_E_DENIED unless the options allow it. Not for a name that is in use already.
  void load_file(const fs::path& file);

  const std::vector<fs::path>& folders() const { return folders_; }

 private:
  using Key = std::pair<PluginKind, std::string>;
  using Table =
      std::variant<std::monostate, graft_method_api, graft_optimizer_api, graft_backend_api>;
  struct Entry {
    fs::path folder, path;
    PluginFile file;
    Table table;  // monostate until it is loaded
  };

  void find_in(const fs::path& folder);
  const Entry& loaded(PluginKind kind, std::string_view name);
  void load(const Key& key, Entry& entry);
  void say_loaded(const Key& key, const PluginFile& file) const;
  [[noreturn]] void unknown(PluginKind kind, std::string_view name) const;
  std::vector<std::string> names_locked(PluginKind kind) const;

  RegistryOptions options_;
  std::vector<fs::path> folders_;
  std::map<Key, Entry> entries_;
  std::vector<std::pair<Key, fs::path>> shadowed_;
  mutable std::mutex mutex_;
};

}  // namespace graft::core
