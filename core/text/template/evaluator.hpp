// Runs a parsed template.
#pragma once
#include <string>
#include <string_view>

#include "core/text/template/ast.hpp"
#include "core/text/template/limits.hpp"

namespace graft::core::jinja {

/// A mistake at a byte of the source, found while the template runs.
class RunFailure : public Failure {
 public:
  RunFailure(const std::string& message, std::size_t at) : Failure(message), at_(at) {}
  std::size_t at() const { return at_; }

 private:
  std::size_t at_;
};

/// The text that `program` writes with these variables. Throws RunFailure, and Error with the
/// message of raise_exception().
std::string run(const Block& program, Dict variables);

}  // namespace graft::core::jinja
