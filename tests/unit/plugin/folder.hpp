// A folder of plugins for one test, below the system's temporary folder; gone afterwards.
#pragma once
#include <string>

#include "core/base/file.hpp"
#include "tests/unit/base/temporary_folder.hpp"

namespace graft::core::test {

class Folder {
 public:
  const fs::path& path() const { return folder_.path(); }

  /// Copies a plugin into it, under another file name if one is given.
  fs::path add(const fs::path& from, std::string name = {}) const {
    const fs::path to = path() / (name.empty() ? from.filename().string() : name);
    fs::copy_file(from, to, fs::copy_options::overwrite_existing);
    fs::permissions(to, fs::perms(0644));
    return to;
  }

 private:
  TemporaryFolder folder_;
};

/// tests/plugins: "good" is libgraft-method-good.so.
inline fs::path hostile(const std::string& name, const std::string& kind = "method") {
  return fs::path(GRAFT_HOSTILE_DIR) / ("libgraft-" + kind + "-" + name + ".so");
}

/// A plugin of the tree: built("method-x").
inline fs::path built(const std::string& name) {
  return fs::path(GRAFT_BUILT_PLUGIN_DIR) / ("libgraft-" + name + ".so");
}

}  // namespace graft::core::test
