// Whether a plugin file may be loaded. A plugin is arbitrary code in this process, so a file that
// somebody else could have changed is not touched.
#pragma once
#include "core/base/file.hpp"

namespace graft::core {

/// The canonical path of `file`, which lies in `folder`. Throws GRAFT_E_DENIED when the file or any
/// folder above it is writable by group or others (a sticky folder of root's, such as /tmp, is
/// fine), when one belongs to neither root nor the current user, or when a symlink leads out of
/// `folder`; GRAFT_E_NOT_FOUND when it is not there. The message has the command that mends it.
fs::path trusted_file(const fs::path& folder, const fs::path& file);

}  // namespace graft::core
