#include "core/train/method_schema.hpp"

#include "core/base/error.hpp"
#include "core/plugin/texts.hpp"

namespace graft::core {
namespace {

/// The name of the property that is marked so, or "".
std::string marked(const Json& schema, const char* mark) {
  const Json properties = schema.value("properties", Json::object());
  for (const auto& [name, property] : properties.items()) {
    if (property.is_object() && property.value(mark, Json()) == Json(true)) return name;
  }
  return "";
}

}  // namespace

MethodSchema method_schema(Registry& registry, const std::string& type, const Json& entry) {
  MethodSchema m;
  m.api = registry.method(type);
  m.schema = plugin_json(m.api.config_schema, cat("schema of ", type));
  m.quantization = marked(m.schema, "x-graft-quantization");
  m.optimizer = m.schema.value("x-graft-optimizer", Json());
  const std::string option = marked(m.schema, "x-graft-method");
  if (option.empty()) return m;
  m.own = m.schema.at("properties");
  const Json named = entry.is_object() && entry.contains(option)
                         ? entry.at(option)
                         : m.own.at(option).value("default", Json());
  if (!named.is_string()) {
    throw Error(GRAFT_E_INVALID, cat("method '", type, "': \"", option, "\" must name a method."));
  }
  const auto other = named.get<std::string>();
  m.api = registry.method(other);
  Json schema = plugin_json(m.api.config_schema, cat("schema of ", other));
  if (!marked(schema, "x-graft-method").empty()) {
    throw Error(GRAFT_E_INVALID, cat("method '", type, "': \"", option, "\" is '", other,
                                     "', which leaves its work to another method itself."));
  }
  for (const auto& [name, property] : m.own.items()) schema["properties"][name] = property;
  m.schema = std::move(schema);
  return m;
}

}  // namespace graft::core
