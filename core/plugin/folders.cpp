// Where plugins are looked for. Never in the current folder, nor beside a model.
#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "core/base/error.hpp"
#include "core/plugin/registry.hpp"

namespace graft::core {
namespace {

const char kSubfolder[] = "graft/plugins/0";
static_assert(GRAFT_ABI_MAJOR == 0, "the folder is named after the ABI's major version");

// The folder of the library, or of the program, that this code is part of. The loader knows it by the name
// it was given, which may be relative to another folder by now; the kernel knows the file.
fs::path own_folder() {
  const auto here = reinterpret_cast<std::uintptr_t>(&own_folder);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    int at = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &begin, &end,
                    &at) < 2 ||
        here < begin || here >= end) {
      continue;
    }
    std::error_code bad;
    const fs::path real = fs::canonical(line.substr(static_cast<std::size_t>(at)), bad);
    if (!bad) return real.parent_path();
    break;
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
