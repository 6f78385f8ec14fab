// Errors as the ABI has them.
#pragma once
#include <graft/types.h>

#include <string_view>

#include "core/base/utf8.hpp"

namespace graft::core {

/// Fills a caller's error, if there is one; the message is cut at a code point. Returns the status.
inline graft_status put_error(graft_error* error, graft_status status, std::string_view message) {
  if (!error) return status;
  const std::size_t n = utf8_cut(message, sizeof error->message - 1);
  error->code = status;
  error->reserved = 0;
  message.copy(error->message, n);
  error->message[n] = 0;
  return status;
}

}  // namespace graft::core
