// Methods of str.
#pragma once
#include <string>
#include <string_view>

#include "core/text/template/builtins.hpp"

namespace graft::core::jinja {

using TextMethod = Value (*)(const std::string& text, Arguments& arguments);

/// Null where the method is unknown.
TextMethod find_text_method(std::string_view name);
/// Whether Python's str has this method, known here or not.
bool is_text_method(std::string_view name);

Value text_upper(const std::string& text, Arguments& arguments);
Value text_lower(const std::string& text, Arguments& arguments);
Value text_capitalize(const std::string& text, Arguments& arguments);
Value text_replace(const std::string& text, Arguments& arguments);

}  // namespace graft::core::jinja
