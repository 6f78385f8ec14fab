// Runs a parsed template.
#pragma once
#include <string>
#include <string_view>
#include <vector>

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

/// Bytes of a rendered text that a generation block wrote.
struct GeneratedSpan {
  std::size_t begin = 0, end = 0;
};

struct Rendering {
  std::string text;
  std::vector<GeneratedSpan> generated;  // in order
  /// There was a generation block in a macro or another block whose text is kept before it is
  /// written, so that its place is not known.
  bool hidden_spans = false;
};

/// What a template writes with these variables. Throws RunFailure, and Error with the message of
/// raise_exception().
Rendering run(const Template& whole, Dict variables);

}  // namespace graft::core::jinja
