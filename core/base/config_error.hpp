// What is wrong with the JSON that a user wrote, told apart from what is wrong with files.
#pragma once
#include "core/base/error.hpp"

namespace graft::core {

/// Runs `part`, which reads a configuration, options or a request: what it refuses or does not find
/// is an error of that text, GRAFT_E_CONFIG.
template <class F>
decltype(auto) of_the_config(F part) {
  try {
    return part();
  } catch (const Error& e) {
    const bool its = e.status() == GRAFT_E_INVALID || e.status() == GRAFT_E_NOT_FOUND;
    throw Error(its ? graft_status{GRAFT_E_CONFIG} : e.status(), e.what());
  }
}

}  // namespace graft::core
