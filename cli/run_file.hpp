// RUN.json with what the command line overrides.
#pragma once
#include <string>

#include "cli/command.hpp"

namespace cli {

struct RunFile {
  std::string json;      ///< for graft_session_create
  std::string base_dir;  ///< what relative paths in it are relative to
};

/// Reads the first positional argument and applies --KEY.PATH, --backend, --dtype and --threads.
/// Throws UsageError.
RunFile read_run_file(const Options& options);

}  // namespace cli
