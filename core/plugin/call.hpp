// Calls from the host into a plugin: statuses become Error, and what a plugin throws in spite of
// the rules stops here.
#pragma once
#include <graft/types.h>

#include <exception>
#include <string_view>

#include "core/base/error.hpp"

namespace graft::core {

/// Runs f(graft_error*), which calls one function of a plugin's table and returns its status. What
/// is not below 0 is handed back. `plugin` names it in the error: "method lora", or its path.
template <class F>
graft_status call_plugin(std::string_view plugin, F&& f) {
  graft_error error{};
  graft_status status = GRAFT_OK;
  std::string thrown;
  try {
    status = f(&error);
  } catch (const std::exception& e) {
    thrown = cat(": ", e.what());
    status = GRAFT_E_INTERNAL;
  } catch (...) {
    thrown = ".";
    status = GRAFT_E_INTERNAL;
  }
  if (!thrown.empty()) {
    throw Error(GRAFT_E_INTERNAL,
                cat("plugin ", plugin, " threw an exception, which none may do", thrown));
  }
  if (status >= 0) return status;
  error.message[sizeof error.message - 1] = 0;
  const bool silent = error.message[0] == 0;
  throw Error(status, cat("plugin ", plugin, ": ",
                          silent ? cat("failed with status ", status, " and without a message.")
                                 : error.message));
}

}  // namespace graft::core
