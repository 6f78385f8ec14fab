#include "core/adapt/targets.hpp"

#include <algorithm>
#include <set>

#include "core/base/error.hpp"
#include "core/base/nearest.hpp"
#include "core/base/pattern.hpp"

namespace graft::core {
namespace {

bool fits(const SiteInfo& site, const Json& rule, std::string_view who) {
  if (rule.is_string()) {
    const auto text = rule.get<std::string>();
    if (text == "all-linear") return site.kind == GRAFT_SITE_LINEAR && site.layer >= 0;
    return full_match(text, site.name, who);
  }
  return std::any_of(rule.begin(), rule.end(), [&](const Json& suffix) {
    return has_suffix(site.name, suffix.get<std::string>());
  });
}

/// Whether the name is `module` or lies in a module of that name: PEFT's regular expression
/// (^|.*\.)module($|\..*).
bool lies_in(std::string_view name, std::string_view module) {
  for (std::size_t at = name.find(module); at != name.npos; at = name.find(module, at + 1)) {
    const std::size_t end = at + module.size();
    if ((at == 0 || name[at - 1] == '.') && (end == name.size() || name[end] == '.')) return true;
  }
  return false;
}

bool named_whole(const SiteInfo& site, const Json& rule) {
  return rule.is_array() && std::find(rule.begin(), rule.end(), Json(site.name)) != rule.end();
}

bool in_layers(const SiteInfo& site, const Json& layers) {
  if (layers.is_null() || (layers.is_array() && layers.empty())) return true;
  if (site.layer < 0) return false;
  if (layers.is_number_integer()) return layers.get<std::int64_t>() == site.layer;
  if (layers.is_array()) {
    return std::any_of(layers.begin(), layers.end(),
                       [&](const Json& n) { return n.get<std::int64_t>() == site.layer; });
  }
  const std::int64_t from = layers.value("from", std::int64_t{0});
  const std::int64_t to = layers.value("to", std::int64_t{1} << 40);
  return site.layer >= from && site.layer < to;
}

const Json& option(const Json& options, const char* key) {
  static const Json kNull;
  const auto found = options.find(key);
  return found == options.end() ? kNull : *found;
}

/// The ends of site names, which is what people write: "q_proj", "lm_head".
std::vector<std::string> known_suffixes(const std::vector<SiteInfo>& sites, std::uint32_t kinds) {
  std::set<std::string> names;
  for (const SiteInfo& site : sites) {
    if ((static_cast<std::uint32_t>(site.kind) & kinds) == 0) continue;
    names.insert(site.name.substr(site.name.rfind('.') + 1));
  }
  return {names.begin(), names.end()};
}

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "'" : ", '") + name + "'";
  return text;
}

[[noreturn]] void matched_nothing(const std::vector<SiteInfo>& sites, std::uint32_t kinds,
                                  const Json& rule, std::string_view who) {
  const std::string word = rule.is_string() ? rule.get<std::string>() : rule.dump();
  const std::vector<std::string> known = known_suffixes(sites, kinds);
  const bool is_end =
      rule.is_string() && std::find(known.begin(), known.end(), word) != known.end();
  throw Error(GRAFT_E_INVALID,
              cat(who, ": '", word, "' matches no module of this model. ",
                  is_end ? cat("As text it is a regular expression for whole names; [\"", word,
                               "\"] are the modules whose names end so. ")
                         : cat("Closest: ", list(nearest(word, known, 3)), ". "),
                  "All: ", list(known), "."));
}

/// A name or pattern in `exclude` that matches no module of the model, whatever its kind.
void check_excluded(const std::vector<SiteInfo>& sites, const Json& exclude, std::string_view who) {
  const auto check = [&](const Json& rule, const Json& one) {
    if (std::any_of(sites.begin(), sites.end(),
                    [&](const SiteInfo& site) { return fits(site, rule, who); })) {
      return;
    }
    const std::vector<std::string> known = known_suffixes(sites, ~std::uint32_t{0});
    const auto word = one.get<std::string>();
    throw Error(GRAFT_E_INVALID,
                cat(who, ": 'exclude' names '", word, "', which matches no module of this model. ",
                    "Closest: ", list(nearest(word, known, 3)), "."));
  };
  if (exclude.is_string()) check(exclude, exclude);
  if (!exclude.is_array()) return;
  for (const Json& suffix : exclude) check(Json::array({suffix}), suffix);
}

/// Layers that the model does not have.
void check_layers(const Json& layers, std::int64_t count, std::string_view who) {
  const auto check = [&](std::int64_t layer, std::int64_t most, const char* what) {
    if (layer >= 0 && layer <= most) return;
    throw Error(GRAFT_E_INVALID,
                cat(who, ": 'layers' ", what, " ", layer, ", but the model's layers are 0 to ",
                    count - 1, layer == count ? " (they count from 0)." : "."));
  };
  if (layers.is_number_integer()) check(layers.get<std::int64_t>(), count - 1, "is");
  if (layers.is_array()) {
    for (const Json& n : layers) check(n.get<std::int64_t>(), count - 1, "names");
  }
  if (!layers.is_object()) return;
  check(layers.value("from", std::int64_t{0}), count - 1, "begins at");
  check(layers.value("to", count), count, "ends before");
}

/// What takes away all that 'targets' matches.
[[noreturn]] void left_nothing(const Json& options, std::int64_t layers, std::string_view who) {
  std::string rules;
  for (const char* key : {"layers", "exclude", "modules_to_save"}) {
    const auto found = options.find(key);
    if (found == options.end() || found->is_null()) continue;
    rules += cat(rules.empty() ? "" : " and ", '\'', key, "' ", found->dump());
  }
  throw Error(GRAFT_E_INVALID, cat(who, ": 'targets' matches modules, but with ", rules,
                                   " none is left. The model's layers are 0 to ", layers - 1, "."));
}

}  // namespace

bool has_suffix(std::string_view name, std::string_view suffix) {
  if (name == suffix) return true;
  return name.size() > suffix.size() && name.ends_with(suffix) &&
         name[name.size() - suffix.size() - 1] == '.';
}

std::vector<std::size_t> match_sites(const std::vector<SiteInfo>& sites, std::uint32_t kinds,
                                     const Json& options, std::string_view who,
                                     Unmatched unmatched) {
  const Json& targets = option(options, "targets");
  const Json& exclude = option(options, "exclude");
  const Json& layers = option(options, "layers");
  const Json& saved = option(options, "modules_to_save");
  if (targets.is_null()) {
    throw Error(GRAFT_E_INVALID, cat(who, ": needs 'targets': \"all-linear\", a list such as ",
                                     "[\"q_proj\", \"v_proj\"], or a regular expression."));
  }
  const auto of_kind = [&](const SiteInfo& site) {
    return (static_cast<std::uint32_t>(site.kind) & kinds) != 0;
  };
  if (targets.is_array() && unmatched == Unmatched::kRefuse) {
    for (const Json& suffix : targets) {
      const bool any = std::any_of(sites.begin(), sites.end(), [&](const SiteInfo& site) {
        return of_kind(site) && has_suffix(site.name, suffix.get<std::string>());
      });
      if (!any) matched_nothing(sites, kinds, suffix, who);
    }
  }
  std::int64_t n_layers = 0;
  for (const SiteInfo& site : sites) n_layers = std::max<std::int64_t>(n_layers, site.layer + 1);
  if (unmatched == Unmatched::kRefuse) {
    check_excluded(sites, exclude, who);
    check_layers(layers, n_layers, who);
  }
  std::vector<std::size_t> matched;
  bool any = false;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (!of_kind(sites[i]) || !fits(sites[i], targets, who)) continue;
    any = true;
    if (!named_whole(sites[i], targets) && !in_layers(sites[i], layers)) continue;
    if (std::any_of(saved.begin(), saved.end(), [&](const Json& module) {
          return lies_in(sites[i].name, module.get<std::string>());
        })) {
      continue;
    }
    if (!exclude.is_null() && fits(sites[i], exclude, who)) continue;
    matched.push_back(i);
  }
  if (matched.empty() && any) left_nothing(options, n_layers, who);
  if (matched.empty()) matched_nothing(sites, kinds, targets, who);
  return matched;
}

bool is_saved_module(std::string_view module, std::string_view entry) {
  if (entry.empty()) return false;
  for (std::size_t end = module.size();; end = module.rfind('.', end - 1)) {
    if (end == module.npos) return false;
    if (module.substr(0, end).ends_with(entry)) return true;
    if (end == 0) return false;
  }
}

bool matches_end(std::string_view pattern, std::string_view name, std::string_view who) {
  while (!full_match(pattern, name, who)) {
    const std::size_t dot = name.find('.');
    if (dot == name.npos) return false;
    name.remove_prefix(dot + 1);
  }
  return true;
}

const Json* pattern_value(const Json& patterns, const std::string& name, std::string_view who) {
  for (auto it = patterns.begin(); it != patterns.end(); ++it) {
    if (matches_end(it.key(), name, who)) return &it.value();
  }
  return nullptr;
}

}  // namespace graft::core
