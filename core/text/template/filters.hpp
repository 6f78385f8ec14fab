// The filters, by what they work on; find_filter() of builtins.hpp asks all of them.
#pragma once
#include <string_view>

#include "core/text/template/builtins.hpp"

namespace graft::core::jinja {

/// Null where the name is unknown.
Filter find_list_filter(std::string_view name);
Filter find_text_filter(std::string_view name);
Filter find_layout_filter(std::string_view name);

/// `value` followed along "a.b.0".
Value attribute_path(Value value, const Value& path, Limits& limits);

}  // namespace graft::core::jinja
