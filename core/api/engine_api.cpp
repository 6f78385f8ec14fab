// graft.h: version, text, engine, plugins, schema.
#include "core/api/engine.hpp"
#include "core/api/guard.hpp"
#include "core/base/schema.hpp"
#include "core/train/run_schema.hpp"

using namespace graft::core;

#ifndef GRAFT_VERSION
#define GRAFT_VERSION "0.1.0"
#endif

namespace graft::core {

std::shared_ptr<EngineState> EngineState::create(const char* config_json) {
  const Json schema = parse_json(R"json({
    "type": "object", "additionalProperties": false, "properties": {
      "plugin_dirs": {"type": "array", "items": {"type": "string"}, "default": []},
      "allow_load_by_path": {"type": "boolean", "default": false}}})json",
                                 "the schema of an engine");
  const Json config =
      validate(config_json ? parse_json(config_json, "engine configuration") : Json::object(),
               schema, "engine configuration");
  auto target = std::make_shared<Target>();
  Log log(
      [target](const LogRecord& record) {
        const std::lock_guard lock(target->mutex);
        const auto level = static_cast<std::int32_t>(record.level);
        if (!target->function || level < target->min_level) return;
        target->function(target->user, level, std::string(record.source).c_str(),
                         std::string(record.message).c_str());
      },
      Level::kDebug);
  RegistryOptions options;
  for (const Json& folder : config["plugin_dirs"]) {
    options.folders.emplace_back(folder.get<std::string>());
  }
  options.allow_load_by_path = config["allow_load_by_path"];
  options.log = log;
  return std::make_shared<EngineState>(target, log, options);
}

namespace {

Json describe(const PluginInfo& p) {
  Json json = {{"kind", to_string(p.kind)}, {"name", p.name}, {"path", p.path.string()}};
  if (!p.problem.empty()) {
    json["problem"] = p.problem;
    return json;
  }
  json["id"] = p.id;
  json["version"] = p.version;
  json["vendor"] = p.vendor;
  json["license"] = p.license;
  json["abi"] = p.abi;
  json["sha256"] = p.sha256;
  json["shadowed"] = p.shadowed;
  return json;
}

/// The kinds under which a plugin of this name is installed.
std::vector<PluginKind> kinds_of(Registry& registry, const std::string& name) {
  std::vector<PluginKind> kinds;
  for (const PluginKind kind :
       {PluginKind::kMethod, PluginKind::kOptimizer, PluginKind::kBackend}) {
    const auto names = registry.names(kind);
    if (std::find(names.begin(), names.end(), name) != names.end()) kinds.push_back(kind);
  }
  return kinds;
}

std::string schema_text(Registry& registry, PluginKind kind, const std::string& name) {
  switch (kind) {
    case PluginKind::kMethod:
      return registry.method(name).config_schema;
    case PluginKind::kOptimizer:
      return registry.optimizer(name).config_schema;
    case PluginKind::kBackend:
      break;
  }
  return registry.backend(name).config_schema;
}

std::vector<PluginKind> require_kinds(Registry& registry, const std::string& name) {
  const auto kinds = kinds_of(registry, name);
  if (!kinds.empty()) return kinds;
  std::string all;
  for (const PluginInfo& p : registry.list()) all += (all.empty() ? "" : ", ") + p.name;
  throw Error(GRAFT_E_NOT_FOUND, cat("there is no plugin '", name, "'. Installed: ", all, "."));
}

}  // namespace
}  // namespace graft::core

uint32_t graft_abi_version(void) {
  return (GRAFT_ABI_MAJOR << 16) | GRAFT_ABI_MINOR;
}
const char* graft_version(void) {
  return GRAFT_VERSION;
}

const char* graft_text_data(const graft_text* text) {
  return text ? text->text.c_str() : "";
}
size_t graft_text_size(const graft_text* text) {
  return text ? text->text.size() : 0;
}
void graft_text_destroy(graft_text* text) {
  delete text;
}

graft_status graft_engine_create(const char* config_json, graft_engine** out, graft_error* error) {
  return guard(error, [&] {
    require(out, "out");
    *out = new graft_engine{EngineState::create(config_json)};
  });
}

void graft_engine_destroy(graft_engine* engine) {
  delete engine;
}

void graft_engine_set_log(graft_engine* engine, graft_log_fn function, void* user,
                          int32_t min_level) {
  if (!engine) return;
  EngineState::Target& target = *engine->state->target;
  const std::lock_guard lock(target.mutex);
  target.function = function;
  target.user = user;
  target.min_level = min_level;
}

graft_status graft_plugin_load(graft_engine* engine, const char* path, graft_error* error) {
  return guard(error, [&] {
    require(engine, "engine").state->registry.load_file(require_text(path, "path"));
  });
}

graft_status graft_plugins_json(graft_engine* engine, const char* name, graft_text** out,
                                graft_error* error) {
  return guard(error, [&] {
    Registry& registry = require(engine, "engine").state->registry;
    Json plugins = Json::array();
    if (name) {
      for (const PluginKind kind : require_kinds(registry, name)) {
        Json plugin = describe(registry.info(kind, name));
        plugin["options"] = parse_json(schema_text(registry, kind, name), name);
        plugins.push_back(std::move(plugin));
      }
    } else {
      for (const PluginInfo& p : registry.list()) plugins.push_back(describe(p));
    }
    Json folders = Json::array();
    for (const fs::path& folder : registry.folders()) folders.push_back(folder.string());
    give(out, to_text({{"plugins", plugins}, {"folders", folders}}));
  });
}

graft_status graft_schema_json(graft_engine* engine, const char* plugin, graft_text** out,
                               graft_error* error) {
  return guard(error, [&] {
    Registry& registry = require(engine, "engine").state->registry;
    const Json schema =
        plugin
            ? parse_json(schema_text(registry, require_kinds(registry, plugin)[0], plugin), plugin)
            : run_schema(registry);
    give(out, to_text(schema));
  });
}
