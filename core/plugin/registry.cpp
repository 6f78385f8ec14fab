#include "core/plugin/registry.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/base/error.hpp"
#include "core/base/nearest.hpp"
#include "core/plugin/call.hpp"

namespace graft::core {
namespace {

constexpr PluginKind kKinds[] = {PluginKind::kMethod, PluginKind::kOptimizer, PluginKind::kBackend};

// libgraft-<kind>-<name>.so
std::optional<std::pair<PluginKind, std::string>> parse_file_name(std::string_view file) {
  for (const PluginKind kind : kKinds) {
    const std::string head = cat("libgraft-", to_string(kind), "-");
    const std::string_view tail = ".so";
    if (file.size() <= head.size() + tail.size() || file.substr(0, head.size()) != head ||
        file.substr(file.size() - tail.size()) != tail) {
      continue;
    }
    return {{kind, std::string(file.substr(head.size(), file.size() - head.size() - tail.size()))}};
  }
  return std::nullopt;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : ", ") + part;
  return out;
}

PluginInfo make_info(PluginKind kind, const std::string& name, const PluginFile& file) {
  return {kind,     name,        file.id,   file.version, file.vendor,  file.license,
          file.abi, file.sha256, file.path, false,        std::string()};
}

}  // namespace

std::string_view to_string(PluginKind kind) {
  switch (kind) {
    case PluginKind::kMethod:
      return "method";
    case PluginKind::kOptimizer:
      return "optimizer";
    case PluginKind::kBackend:
      return "backend";
  }
  return "";
}

Registry::Registry(RegistryOptions options)
    : options_(std::move(options)), folders_(plugin_folders(options_)) {
  for (const fs::path& folder : folders_) find_in(folder);
}

void Registry::find_in(const fs::path& folder) {
  std::error_code bad;
  std::vector<fs::path> files;
  for (fs::directory_iterator it(folder, bad), end; !bad && it != end; it.increment(bad)) {
    files.push_back(it->path());
  }
  if (bad) {
    options_.log.warning("plugins", cat("folder ", folder.string(), ": ", bad.message(), "."));
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const auto key = parse_file_name(file.filename().string());
    if (!key) continue;
    const bool fresh = entries_.try_emplace(*key, Entry{folder, file, {}, {}}).second;
    if (!fresh) shadowed_.emplace_back(*key, file);
  }
}

const graft_method_api& Registry::method(std::string_view name) {
  return std::get<graft_method_api>(loaded(PluginKind::kMethod, name).table);
}

const graft_optimizer_api& Registry::optimizer(std::string_view name) {
  return std::get<graft_optimizer_api>(loaded(PluginKind::kOptimizer, name).table);
}

const graft_backend_api& Registry::backend(std::string_view name) {
  return std::get<graft_backend_api>(loaded(PluginKind::kBackend, name).table);
}

const graft_backend_api& Registry::default_backend() {
  const graft_backend_api* best = nullptr;
  std::int32_t highest = 0;
  for (const std::string& name : names(PluginKind::kBackend)) {
    try {
      const graft_backend_api& api = backend(name);
      std::int32_t answer = 0;
      call_plugin(cat("backend ", name), [&](graft_error*) {
        answer = api.probe();
        return GRAFT_OK;
      });
      if (answer <= highest) continue;
      highest = answer;
      best = &api;
    } catch (const Error& e) {
      options_.log.warning("plugins", cat("backend '", name, "' is passed over: ", e.what()));
    }
  }
  if (best) return *best;
  const std::lock_guard lock(mutex_);
  unknown(PluginKind::kBackend, "");
}

const Registry::Entry& Registry::loaded(PluginKind kind, std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find({kind, std::string(name)});
  if (found == entries_.end()) unknown(kind, name);
  if (std::holds_alternative<std::monostate>(found->second.table)) {
    load(found->first, found->second);
  }
  return found->second;
}

void Registry::load(const Key& key, Entry& entry) {
  const PluginKind kind = key.first;
  const std::string& name = key.second;
  PluginFile file = load_plugin(entry.folder, entry.path);
  Table table;
  const auto take = [&](const auto& offered) {
    if (!offered) return;
    if (offered->name != name) {
      throw Error(GRAFT_E_INVALID,
                  cat("plugin ", entry.path.string(), " offers the ", to_string(kind), " '",
                      offered->name, "', not '", name, "'. Rename it to libgraft-", to_string(kind),
                      "-", offered->name, ".so."));
    }
    table = *offered;
  };
  if (kind == PluginKind::kMethod) take(method_table(file));
  if (kind == PluginKind::kOptimizer) take(optimizer_table(file));
  if (kind == PluginKind::kBackend) take(backend_table(file));
  if (std::holds_alternative<std::monostate>(table)) {
    throw Error(GRAFT_E_INVALID, cat("plugin ", entry.path.string(), " offers no ", to_string(kind),
                                     ", though its file name says so."));
  }
  entry.file = std::move(file);
  entry.table = table;
  say_loaded(key, entry.file);
}

void Registry::say_loaded(const Key& key, const PluginFile& file) const {
  options_.log.info("plugins",
                    cat(to_string(key.first), " ", key.second, ": ", file.id, " ", file.version,
                        " from ", file.path.string(), ", sha256 ", file.sha256));
  for (const auto& [other, path] : shadowed_) {
    if (other == key) {
      options_.log.info("plugins", cat("it is used instead of ", path.string(),
                                       ", which lies in a folder that is searched later"));
    }
  }
}

std::vector<std::string> Registry::names(PluginKind kind) const {
  const std::lock_guard lock(mutex_);
  return names_locked(kind);
}

std::vector<std::string> Registry::names_locked(PluginKind kind) const {
  std::vector<std::string> out;
  for (const auto& [key, entry] : entries_) {
    if (key.first == kind) out.push_back(key.second);
  }
  return out;
}

PluginInfo Registry::info(PluginKind kind, std::string_view name) {
  return make_info(kind, std::string(name), loaded(kind, name).file);
}

std::vector<PluginInfo> Registry::list() {
  std::vector<PluginInfo> out;
  for (const PluginKind kind : kKinds) {
    for (const std::string& name : names(kind)) {
      try {
        out.push_back(info(kind, name));
      } catch (const Error& e) {
        const std::lock_guard lock(mutex_);
        PluginInfo bad{kind,  name,    {}, {}, {}, {}, {}, {}, entries_.at({kind, name}).path,
                       false, e.what()};
        out.push_back(std::move(bad));
      }
      const std::lock_guard lock(mutex_);
      for (const auto& [key, path] : shadowed_) {
        if (key != Key(kind, name)) continue;
        PluginInfo later{kind, name, {}, {}, {}, {}, {}, {}, path, true, {}};
        out.push_back(std::move(later));
      }
    }
  }
  return out;
}

void Registry::load_file(const fs::path& file) {
  if (!options_.allow_load_by_path) {
    throw Error(GRAFT_E_DENIED, cat("plugin ", file.string(),
                                    " is not loaded: loading by path is switched off. "
                                    "Put it into one of the folders that are searched (",
                                    joined({folders_.begin(), folders_.end()}),
                                    "), or allow it in the engine's "
                                    "configuration."));
  }
  const fs::path full = fs::absolute(file);
  const PluginFile loaded_file = load_plugin(full.parent_path(), full);
  std::vector<std::pair<Key, Table>> offered;
  if (const auto t = method_table(loaded_file))
    offered.push_back({{PluginKind::kMethod, t->name}, *t});
  if (const auto t = optimizer_table(loaded_file)) {
    offered.push_back({{PluginKind::kOptimizer, t->name}, *t});
  }
  if (const auto t = backend_table(loaded_file)) {
    offered.push_back({{PluginKind::kBackend, t->name}, *t});
  }
  if (offered.empty()) {
    throw Error(GRAFT_E_INVALID, cat("plugin ", file.string(),
                                     " offers no method, optimizer or "
                                     "backend that this libgraft knows."));
  }
  const std::lock_guard lock(mutex_);
  for (const auto& [key, table] : offered) {
    const auto found = entries_.find(key);
    if (found != entries_.end() && !std::holds_alternative<std::monostate>(found->second.table)) {
      throw Error(GRAFT_E_BUSY,
                  cat("plugin ", file.string(), ": the ", to_string(key.first), " '", key.second,
                      "' is in use already, from ", found->second.file.path.string(), "."));
    }
  }
  for (const auto& [key, table] : offered) {
    const auto found = entries_.find(key);
    if (found != entries_.end()) shadowed_.emplace_back(key, found->second.path);
    entries_[key] = Entry{loaded_file.path.parent_path(), loaded_file.path, loaded_file, table};
    say_loaded(key, loaded_file);
  }
}

void Registry::unknown(PluginKind kind, std::string_view name) const {
  const std::vector<std::string> known = names_locked(kind);
  std::string message = name.empty() ? cat("no ", to_string(kind), " runs on this machine.")
                                     : cat(to_string(kind), " '", name, "' is not installed.");
  if (const auto best = meant(name, known)) message += cat(" Did you mean '", *best, "'?");
  message += known.empty() ? cat(" No ", to_string(kind), " is installed.")
                           : cat(" Installed: ", joined(known), ".");
  message += folders_.empty() ? std::string(" There is no plugin folder.")
                              : cat(" Looked in ", joined({folders_.begin(), folders_.end()}), ".");
  throw Error(GRAFT_E_NOT_FOUND, message);
}

}  // namespace graft::core
