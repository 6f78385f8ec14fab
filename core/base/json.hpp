// JSON inside the core: nlohmann's ordered type, so that files keep the order of their keys.
#pragma once
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/error.hpp"

// One instance of it in json.cpp: each file would make its own.
extern template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace graft::core {

using Json = nlohmann::ordered_json;

/// Parses text. `who` names the source in the error ("run.json", "data.jsonl:12"); the error tells
/// line and column; `first_line` is the number of the first line, for text cut out of a file.
/// Refuses duplicate keys, NaN, and nesting deeper than 200. Takes linear time, but looking a key
/// up in a Json object does too: go through a large one with items().
Json parse_json(std::string_view text, std::string_view who, std::size_t first_line = 1);

/// The text of `value` on one line; floats in the shortest form that reads back as the same double.
std::string to_text(const Json& value);

}  // namespace graft::core
