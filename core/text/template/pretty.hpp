// Values over several lines, as Python's pprint lays them out.
#pragma once
#include <string>

#include "core/text/template/limits.hpp"
#include "core/text/template/value.hpp"

namespace graft::core::jinja {

/// pprint.pformat(): what is longer than a line gets one line for each item; dicts are sorted.
std::string pretty_text(const Value& value, Limits& limits);

}  // namespace graft::core::jinja
