#include "core/train/default_targets.hpp"

#include <algorithm>

#include "core/plugin/texts.hpp"

namespace graft::core {
namespace {

/// What the table has for the type: null for none.
Json of_type(const Json& table, const std::string& type) {
  if (!table.is_object()) return table;
  const auto found = table.find(type);
  return found != table.end() ? *found : table.value("", Json());
}

Json among(const Json& names, const Json& targets) {
  Json left = Json::array();
  for (const Json& name : names) {
    if (!targets.is_array()) break;
    if (std::find(targets.begin(), targets.end(), name) != targets.end()) left.push_back(name);
  }
  return left;
}

}  // namespace

void settle_targets(MethodEntry& entry, const std::string& model_type) {
  const Json& schema = plugin_json(entry.api.config_schema, entry.api.name);
  if (!entry.host.contains("targets") || entry.host["targets"].is_null()) {
    const Json targets = of_type(schema.value("x-graft-targets", Json()), model_type);
    if (!targets.is_null()) entry.host["targets"] = targets;
  }
  const Json properties = schema.value("properties", Json::object());
  for (auto it = properties.begin(); it != properties.end(); ++it) {
    const auto table = it.value().find("x-graft-default");
    const auto option = entry.options.find(it.key());
    if (table == it.value().end() || option == entry.options.end() || !option->is_null()) continue;
    *option = among(of_type(*table, model_type), entry.host.value("targets", Json()));
  }
}

}  // namespace graft::core
