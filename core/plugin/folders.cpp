// Where plugins are looked for. Never in the current folder, nor beside a model.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/error.hpp"
#include "core/plugin/registry.hpp"

namespace graft::core {
namespace {

const char kSubfolder[] = "graft/plugins/0";
static_assert(GRAFT_ABI_MAJOR == 0, "the folder is named after the ABI's major version");

// The folder of the library, or of the program, that this code is part of.
fs::path own_folder() {
  std::error_code bad;
  Dl_info where{};
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &where) != 0 && where.dli_fname) {
    // A program's own name may be relative to where it was started, or found through PATH.
    const fs::path name = where.dli_fname;
    const fs::path real = fs::canonical(name.is_absolute() ? name : "/proc/self/exe", bad);
    if (!bad) return real.parent_path();
  }
  return {};
}

void add(std::vector<fs::path>& folders, const fs::path& folder) {
  std::error_code bad;
  const fs::path real = fs::canonical(folder, bad);
  if (bad || !fs::is_directory(real, bad)) return;
  if (std::find(folders.begin(), folders.end(), real) == folders.end()) folders.push_back(real);
}

void add_environment(std::vector<fs::path>& folders, const Log& log) {
  const char* variable = secure_getenv("GRAFT_PLUGIN_PATH");
  std::string_view rest = variable ? variable : "";
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const fs::path folder(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (folder.is_absolute()) {
      add(folders, folder);
    } else if (!folder.empty()) {
      log.warning("plugins", cat("GRAFT_PLUGIN_PATH: '", folder.string(),
                                 "' is passed over, as it does not begin with '/'."));
    }
  }
}

}  // namespace

std::vector<fs::path> plugin_folders(const RegistryOptions& options) {
  std::vector<fs::path> folders;
  for (const fs::path& folder : options.folders) {
    std::error_code bad;
    if (!fs::is_directory(folder, bad)) {
      throw Error(GRAFT_E_NOT_FOUND,
                  cat("plugin folder '", folder.string(), "' is not there, or is no folder."));
    }
    add(folders, folder);
  }
  if (options.environment) add_environment(folders, options.log);
  if (options.installed) {
    const fs::path own = own_folder();
    if (!own.empty()) {
      add(folders, own / kSubfolder);
      add(folders, own.parent_path() / "lib" / kSubfolder);
    }
    add(folders, GRAFT_PLUGIN_DIR);
  }
  return folders;
}

}  // namespace graft::core
