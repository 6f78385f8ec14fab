// String literals of the template language.
#pragma once
#include <string>
#include <string_view>

namespace graft::core::jinja {

/// The value of the literal whose quote is at `at`, which moves behind its end. Escapes are
/// Python's; one that Python does not know stays as it is. Throws SyntaxFailure.
std::string string_literal(std::string_view source, std::size_t& at);

}  // namespace graft::core::jinja
