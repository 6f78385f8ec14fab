#include "core/adapt/site_options.hpp"

#include <algorithm>

#include "core/adapt/targets.hpp"
#include "core/base/error.hpp"
#include "core/base/pattern.hpp"
#include "core/plugin/texts.hpp"

namespace graft::core {
namespace {

/// A regular expression over the whole name, or a list of plain ends: PEFT's feedforward_modules.
bool fits(const Json& rule, const std::string& name, const std::string& who) {
  if (rule.is_string()) return full_match(rule.get<std::string>(), name, who);
  return std::any_of(rule.begin(), rule.end(), [&](const Json& end) {
    return name.ends_with(end.get_ref<const std::string&>());
  });
}

/// Calls f(name, schema) for each option of the plugin's schema that has the mark.
template <class F>
void each_marked(const MethodEntry& entry, const char* mark, const std::string& who, F&& f) {
  const Json& schema = plugin_json(entry.api.config_schema, who);
  const auto properties = schema.find("properties");
  if (properties == schema.end()) return;
  for (auto it = properties->begin(); it != properties->end(); ++it) {
    if (it.value().contains(mark) && entry.options.contains(it.key())) f(it.key(), it.value());
  }
}

}  // namespace

Json MethodEntry::seen() const {
  Json result = options;
  for (auto it = tokens.begin(); it != tokens.end(); ++it) result[it.key()] = it.value();
  return result;
}

Json options_at(const MethodEntry& entry, const std::string& name, const std::string& who,
                bool targeted) {
  Json options = entry.seen();
  each_marked(entry, "x-graft-overrides", who, [&](const std::string& option, const Json& schema) {
    const std::string key = name + schema.value("x-graft-suffix", std::string());
    const Json* value = pattern_value(entry.options[option], key, who + " " + option);
    if (value) options[schema.at("x-graft-overrides").get<std::string>()] = *value;
  });
  each_marked(entry, "x-graft-modules", who, [&](const std::string& option, const Json&) {
    options[option] = fits(entry.options[option], name, who + " " + option);
  });
  each_marked(entry, "x-graft-vocabulary", who, [&](const std::string& option, const Json&) {
    if (targeted) options[option] = Json::array();
  });
  return options;
}

std::string bias_choice(const MethodEntry& entry) {
  std::string choice = "none";
  each_marked(entry, "x-graft-biases", entry.name, [&](const std::string& option, const Json&) {
    choice = entry.options[option].get<std::string>();
  });
  return choice;
}

bool trains_tokens(const MethodEntry& entry) {
  bool any = false;
  each_marked(entry, "x-graft-vocabulary", entry.name, [&](const std::string& option, const Json&) {
    any = any || !entry.options[option].empty();
  });
  return any;
}

void check_patterns(const MethodEntry& entry, const std::vector<std::string>& names,
                    const std::string& who) {
  each_marked(entry, "x-graft-overrides", who, [&](const std::string& option, const Json& schema) {
    const auto suffix = schema.value("x-graft-suffix", std::string());
    const Json& patterns = entry.options[option];
    for (auto it = patterns.begin(); it != patterns.end(); ++it) {
      if (std::any_of(names.begin(), names.end(), [&](const std::string& name) {
            return matches_end(it.key(), name + suffix, who + " " + option);
          })) {
        continue;
      }
      throw Error(
          GRAFT_E_INVALID,
          cat(who, ": ", option, " names '", it.key(), "', which is no end, and no regular ",
              "expression for the end, of the name of any module that 'targets' chooses",
              names.empty() ? "." : cat(", such as '", names.front(), "'.")));
    }
  });
}

void check_module_rules(const MethodEntry& entry, const std::string& who) {
  const auto targets = entry.host.find("targets");
  if (targets == entry.host.end() || !targets->is_array()) return;
  each_marked(entry, "x-graft-modules", who, [&](const std::string& option, const Json&) {
    const Json& rule = entry.options[option];
    if (!rule.is_array()) return;
    for (const Json& name : rule) {
      if (std::find(targets->begin(), targets->end(), name) != targets->end()) continue;
      throw Error(GRAFT_E_INVALID, cat(who, ": ", option, " names ", name.dump(),
                                       ", which is not among the targets ", targets->dump(),
                                       ". Add it there, or leave it out here."));
    }
  });
}

}  // namespace graft::core
