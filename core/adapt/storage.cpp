#include "core/adapt/storage.hpp"

#include <algorithm>

#include "core/adapt/storage_fields.hpp"
#include "core/base/error.hpp"
#include "core/plugin/texts.hpp"

namespace graft::core {
namespace {

/// The host's options under PEFT's names.
const std::map<std::string, std::string>& host_fields() {
  static const std::map<std::string, std::string> fields = {{"targets", "target_modules"},
                                                            {"exclude", "exclude_modules"},
                                                            {"layers", "layers_to_transform"},
                                                            {"modules_to_save", "modules_to_save"}};
  return fields;
}

/// Keys of PEFT's base configuration that say nothing about the numbers, or that need no option.
constexpr const char* kPlain[] = {"peft_type",      "task_type",     "base_model_name_or_path",
                                  "inference_mode", "auto_mapping",  "revision",
                                  "peft_version",   "layers_pattern"};

/// How the base model stores the layers: a fact of the model, whatever a method's constants say, which
/// PEFT also finds out by itself.
constexpr const char* kTransposed = "fan_in_fan_out";

}  // namespace

std::optional<Storage> storage_of(const graft_method_api& api) {
  if (!api.storage) return std::nullopt;
  const Json& text = plugin_json(api.storage, cat("storage of method ", api.name));
  Storage s;
  s.layout = text.value("layout", s.layout);
  s.peft_type = text.value("peft_type", std::string());
  s.places = text.value("places", s.places);
  s.copies = text.value("copies", s.copies);
  s.flexible = text.value("flexible", std::string());
  s.fields = text.value("fields", Json::object());
  s.constants = text.value("constants", Json::object());
  s.ignored = text.value("ignored", Json::array());
  s.host = text.value("host", s.host);
  s.tensors = text.value("tensors", Json::object());
  s.model = text.value("model", Json::object());
  s.computed = text.value("computed", Json::array());
  s.beside = text.value("beside", Json(nullptr));
  return s;
}

bool Storage::has_host(const std::string& option) const {
  return std::find(host.begin(), host.end(), Json(option)) != host.end();
}

std::size_t contradictions(const Storage& storage, const Json& config) {
  std::size_t n = 0;
  for (auto it = storage.constants.begin(); it != storage.constants.end(); ++it) {
    const auto found = config.find(it.key());
    const Json& theirs = found == config.end() ? Json(nullptr) : *found;
    if (it.key() == kTransposed) continue;
    if (theirs != it.value() && !(is_empty(theirs) && is_empty(it.value()))) ++n;
  }
  return n;
}

std::map<std::string, std::string> aliases_of(const graft_method_api& api) {
  std::map<std::string, std::string> aliases;
  for (const auto& [option, key] : host_fields()) aliases[key] = option;
  if (const auto storage = storage_of(api)) {
    for (auto it = storage->fields.begin(); it != storage->fields.end(); ++it) {
      aliases[field_of(it.value()).key] = it.key();
    }
  }
  return aliases;
}

Json without_aliases(const Json& entry, const std::map<std::string, std::string>& aliases,
                     std::string_view who) {
  Json result = Json::object();
  for (auto it = entry.begin(); it != entry.end(); ++it) {
    const auto alias = aliases.find(it.key());
    const std::string key = alias == aliases.end() ? it.key() : alias->second;
    if (result.contains(key) || (key != it.key() && entry.contains(key))) {
      throw Error(GRAFT_E_INVALID,
                  cat(who, ": '", key, "' and '", it.key() == key ? "its alias" : it.key(),
                      "' are two names of one option; give one of them."));
    }
    result[key] = it.value();
  }
  return result;
}

Json to_peft(const graft_method_api& api, const Json& options, const Json& host,
             const std::string& base_model, const std::vector<std::string>& attached,
             const Json& facts) {
  const auto storage = storage_of(api);
  if (!storage || !storage->of_peft()) {
    throw Error(GRAFT_E_INVALID, cat("method '", api.name, "' has no PEFT format."));
  }
  Json config = Json::object();
  config["peft_type"] = storage->peft_type;
  config["task_type"] = "CAUSAL_LM";
  config["base_model_name_or_path"] = base_model;
  config["inference_mode"] = true;
  for (auto it = storage->fields.begin(); it != storage->fields.end(); ++it) {
    const Field field = field_of(it.value());
    if (options.contains(it.key())) config[field.key] = theirs(field, options.at(it.key()));
  }
  for (const auto& [option, key] : host_fields()) {
    if (storage->has_host(option)) {
      config[key] = host.contains(option) ? host.at(option) : Json(nullptr);
    }
  }
  Json layers = host.value("layers", Json(nullptr));
  const auto said_without = [&](const char* option) {
    return !storage->has_host(option) && host.contains(option) && !is_empty(host.at(option));
  };
  const bool open = layers.is_object() && !layers.contains("to");
  if (open || (!layers.is_null() && host.at("targets").is_string()) || said_without("layers") ||
      said_without("exclude")) {
    config["target_modules"] = attached;
    layers = nullptr;
  }
  if (layers.is_object()) {  // a range is a list in PEFT
    Json list = Json::array();
    for (std::int64_t l = layers.value("from", std::int64_t{0}); l < layers.at("to"); ++l) {
      list.push_back(l);
    }
    layers = list;
  }
  if (storage->has_host("layers")) config["layers_to_transform"] = layers;
  for (auto it = storage->constants.begin(); it != storage->constants.end(); ++it) {
    config[it.key()] = it.value();
  }
  if (config.contains(kTransposed)) config[kTransposed] = facts.value("transposed", false);
  for (auto it = storage->model.begin(); it != storage->model.end(); ++it) {
    config[it.key()] = facts.value(it.value().get<std::string>(), Json(nullptr));
  }
  return config;
}

std::pair<Json, Json> from_peft(const graft_method_api& api, const Json& config,
                                std::string_view who) {
  const auto storage = storage_of(api);
  if (!storage || !storage->of_peft()) {
    throw Error(GRAFT_E_INVALID, cat("method '", api.name, "' has no PEFT format."));
  }
  Json options = Json::object(), host = Json::object();
  std::map<std::string, bool> used;
  for (const char* key : kPlain) used[key] = true;
  for (const Json& key : storage->ignored) used[key.get<std::string>()] = true;
  for (auto it = storage->model.begin(); it != storage->model.end(); ++it) used[it.key()] = true;
  for (auto it = storage->fields.begin(); it != storage->fields.end(); ++it) {
    const Field field = field_of(it.value());
    used[field.key] = true;
    const auto found = config.find(field.key);
    if (found == config.end()) {
      if (!field.missing.is_null()) options[it.key()] = field.missing;
    } else if (!found->is_null()) {
      options[it.key()] = ours(field, *found, who);
    } else if (!field.missing.is_null()) {
      throw Error(GRAFT_E_INVALID,
                  cat(who, ": \"", field.key, "\" is null, but must be a number."));
    }
  }
  for (const auto& [option, key] : host_fields()) {
    if (!storage->has_host(option)) continue;
    used[key] = true;
    const auto found = config.find(key);
    if (found != config.end() && !is_empty(*found)) host[option] = *found;
  }
  for (auto it = storage->constants.begin(); it != storage->constants.end(); ++it) {
    used[it.key()] = true;
    const auto found = config.find(it.key());
    if (found == config.end() || *found == it.value() || it.key() == kTransposed) continue;
    if (is_empty(*found) && is_empty(it.value())) continue;
    throw Error(GRAFT_E_INVALID, cat(who, ": \"", it.key(), "\": ", found->dump(),
                                     " is not supported; graft computes ", it.value().dump(), "."));
  }
  for (auto it = config.begin(); it != config.end(); ++it) {
    if (used.count(it.key()) > 0 || is_empty(it.value())) continue;
    throw Error(GRAFT_E_INVALID,
                cat(who, ": \"", it.key(), "\": ", it.value().dump(), " is not known to method '",
                    api.name, "', so the result could differ from PEFT's."));
  }
  return {options, host};
}

}  // namespace graft::core
