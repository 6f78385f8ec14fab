// Methods of str.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/text/template/builtins.hpp"

namespace graft::core::jinja {

using TextMethod = Value (*)(const std::string& text, Arguments& arguments);

/// Null where the method is unknown.
TextMethod find_text_method(std::string_view name);
/// Whether Python's str has this method, known here or not.
bool is_text_method(std::string_view name);

Value text_upper(const std::string& text, Arguments& arguments);
Value text_lower(const std::string& text, Arguments& arguments);
Value text_casefold(const std::string& text, Arguments& arguments);
Value text_swapcase(const std::string& text, Arguments& arguments);
Value text_istitle(const std::string& text, Arguments& arguments);
Value text_title(const std::string& text, Arguments& arguments);
Value text_isupper(const std::string& text, Arguments& arguments);
Value text_islower(const std::string& text, Arguments& arguments);
Value text_split(const std::string& text, Arguments& arguments);
Value text_rsplit(const std::string& text, Arguments& arguments);
Value text_partition(const std::string& text, Arguments& arguments);
Value text_rpartition(const std::string& text, Arguments& arguments);
Value text_splitlines(const std::string& text, Arguments& arguments);
Value text_capitalize(const std::string& text, Arguments& arguments);
Value text_replace(const std::string& text, Arguments& arguments);
Value text_format(const std::string& text, Arguments& arguments);
Value text_find(const std::string& text, Arguments& arguments);
Value text_rfind(const std::string& text, Arguments& arguments);
Value text_index(const std::string& text, Arguments& arguments);
Value text_rindex(const std::string& text, Arguments& arguments);
Value text_count(const std::string& text, Arguments& arguments);
Value text_startswith(const std::string& text, Arguments& arguments);
Value text_endswith(const std::string& text, Arguments& arguments);

/// Lines, at all of Python's line breaks.
std::vector<std::string_view> lines_of(std::string_view text, bool keep_ends);

}  // namespace graft::core::jinja
