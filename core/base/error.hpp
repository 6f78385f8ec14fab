// The one error type inside graft. Text says who, what is wrong with its value, where, and what
// would be right.
#pragma once
#include <graft/types.h>

#include <sstream>
#include <stdexcept>
#include <string>

namespace graft::core {

/// Puts its arguments after one another into a string, as operator<< prints them.
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Thrown everywhere inside the core; api/guard.hpp turns it into graft_status + graft_error.
class Error : public std::runtime_error {
 public:
  Error(graft_status status, const std::string& message)
      : std::runtime_error(message), status_(status) {}
  graft_status status() const { return status_; }

 private:
  graft_status status_;
};

}  // namespace graft::core
