// Which sites a method attaches to, by the rules of PEFT.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.hpp"
#include "core/model/sites.hpp"

namespace graft::core {

/// The host's options of a methods[] entry that choose sites:
///   targets   "all-linear" (every linear module but the head), a string (regular expression over
///             the whole name), or a list of suffixes ("q_proj", "self_attn.q_proj", a whole name)
///   exclude   a regular expression, or a list of suffixes
///   layers    a list of layer numbers, or {"from": a, "to": b} (b not included)
/// Only sites of the given kinds (GRAFT_SITE_*, or-ed) are looked at. Indices in the order of
/// `sites`. Throws GRAFT_E_INVALID, naming the closest sites, if a list entry or the whole matches
/// nothing.
std::vector<std::size_t> match_sites(const std::vector<SiteInfo>& sites, std::uint32_t kinds,
                                     const Json& options, std::string_view who);

/// The value of the first key in `patterns` ({pattern: value}) that fits the name as PEFT's
/// rank_pattern does: the regular expression `(.*\.)?(pattern)`; nullptr if none does.
const Json* pattern_value(const Json& patterns, const std::string& name, std::string_view who);

/// name == suffix, or name ends with "." + suffix.
bool has_suffix(std::string_view name, std::string_view suffix);

}  // namespace graft::core
