// Which sites a method attaches to, by the rules of PEFT.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.hpp"
#include "core/model/sites.hpp"

namespace graft::core {

/// What becomes of an entry of a list of targets that matches nothing: a misspelt name is refused; a
/// configuration that PEFT wrote may hold names of other models.
enum class Unmatched : std::uint8_t { kRefuse, kIgnore };

/// The host's options of a methods[] entry that choose sites:
///   targets   "all-linear" (every linear module but the head), a string (regular expression over
///             the whole name), or a list of suffixes ("q_proj", "self_attn.q_proj", a whole name)
///   exclude   a regular expression, or a list of suffixes
///   layers    a list of layer numbers, or {"from": a, "to": b} (b not included)
///   modules_to_save  modules at or below which nothing is attached: they are trained in full
/// A list entry that is a whole name matches whatever `layers` says. Only sites of the given kinds
/// (GRAFT_SITE_*, or-ed) are looked at. Indices in the order of `sites`. Throws GRAFT_E_INVALID,
/// naming the closest sites, if the whole matches nothing, or, unless `unmatched` says otherwise, a
/// list entry.
std::vector<std::size_t> match_sites(const std::vector<SiteInfo>& sites, std::uint32_t kinds,
                                     const Json& options, std::string_view who,
                                     Unmatched unmatched = Unmatched::kRefuse);

/// Whether PEFT trains the module in full for an entry of modules_to_save: it, or a module that it
/// is in, has a name that ends with the entry's letters ("norm" takes "input_layernorm").
bool is_saved_module(std::string_view module, std::string_view entry);

/// Whether the expression matches the whole name, or all of it behind one of its dots: PEFT's
/// (.*\.)?(pattern)$.
bool matches_end(std::string_view pattern, std::string_view name, std::string_view who);

/// The value of the first key in `patterns` ({pattern: value}) that fits the name as PEFT's
/// rank_pattern does: the regular expression `(.*\.)?(pattern)`; nullptr if none does.
const Json* pattern_value(const Json& patterns, const std::string& name, std::string_view who);

/// name == suffix, or name ends with "." + suffix.
bool has_suffix(std::string_view name, std::string_view suffix);

}  // namespace graft::core
