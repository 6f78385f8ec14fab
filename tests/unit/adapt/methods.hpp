// Entries of "methods" over the built plugins, as run_config makes them.
#pragma once
#include <algorithm>

#include "core/adapt/attach.hpp"
#include "core/base/schema.hpp"
#include "core/model/decoder.hpp"
#include "core/plugin/registry.hpp"

namespace graft::core::test {

inline Registry& built_plugins() {
  static Registry registry([] {
    RegistryOptions options;
    options.folders = {GRAFT_BUILT_PLUGIN_DIR};
    return options;
  }());
  return registry;
}

/// `host`: targets and the like. `options`: the plugin's.
inline MethodEntry entry_of(const std::string& method, const Json& host,
                            const Json& options = Json::object()) {
  MethodEntry entry;
  entry.name = method;
  entry.api = built_plugins().method(method);
  const Json schema = parse_json(entry.api.config_schema, method);
  entry.options = validate(options, schema, method);
  entry.host = host;
  if (!host.contains("targets") && schema.contains("x-graft-targets")) {
    const Json& own = schema["x-graft-targets"];  // by the type of the model, or for all
    entry.host["targets"] = own.is_object() ? own.value("llama", own.value("", Json())) : own;
  }
  return entry;
}
inline MethodEntry lora_entry(const Json& host, const Json& options = Json::object()) {
  return entry_of("lora", host, options);
}

inline std::vector<BaseTensor> tensors_of(const std::vector<TensorNeed>& needs) {
  std::vector<BaseTensor> tensors;
  for (const TensorNeed& need : needs) tensors.push_back({need.name, need.shape, ""});
  if (std::none_of(tensors.begin(), tensors.end(),
                   [](const BaseTensor& t) { return t.name == "lm_head.weight"; })) {
    tensors.push_back({"lm_head.weight", tensors.at(0).shape, "model.embed_tokens.weight"});
  }
  return tensors;
}

}  // namespace graft::core::test
