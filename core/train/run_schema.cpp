// The host's part of RUN.json as a JSON Schema, and the whole with the plugins' parts.
#include "core/train/run_schema.hpp"

#include "core/data/dataset.hpp"
#include "core/model/quantization.hpp"
#include "core/plugin/texts.hpp"
#include "core/train/many_runs.hpp"
#include "core/train/method_schema.hpp"

namespace graft::core {

Json host_method_schema() {
  return parse_json(R"json({
    "type": "object", "additionalProperties": true,
    "properties": {
      "type": {"type": "string", "description": "the method's name; see graft plugins"},
      "name": {"type": "string", "minLength": 1, "description": "of the adapter; its type by default"},
      "targets": {"description": "modules: \"all-linear\", a regular expression, or a list of suffixes",
                  "anyOf": [{"type": "string", "minLength": 1},
                            {"type": "array", "minItems": 1, "items": {"type": "string"}}]},
      "exclude": {"description": "modules to leave out: a regular expression, or a list of suffixes",
                  "anyOf": [{"type": "string", "minLength": 1},
                            {"type": "array", "items": {"type": "string"}}]},
      "layers": {"description": "layers to attach to: a number, a list, or {\"from\", \"to\"}",
                 "anyOf": [{"type": "integer", "minimum": 0},
                           {"type": "array", "items": {"type": "integer", "minimum": 0}},
                           {"type": "object", "additionalProperties": false, "properties": {
                              "from": {"type": "integer", "minimum": 0},
                              "to": {"type": "integer", "minimum": 1}}}]},
      "modules_to_save": {"type": "array", "items": {"type": "string"},
                          "description": "modules trained in full and saved with the adapter"}
    }})json",
                    "the schema of methods");
}

Json loaded_method_schema() {
  return parse_json(R"json({
    "type": "object", "additionalProperties": false, "required": ["load"],
    "properties": {
      "load": {"type": "string", "minLength": 1,
               "description": "an adapter folder: type, options and weights come from there"},
      "name": {"type": "string", "minLength": 1, "description": "of the adapter"}
    }})json",
                    "the schema of methods that are loaded");
}

Json host_optimizer_schema() {
  return parse_json(R"json({
    "type": "object", "additionalProperties": true, "required": ["lr"],
    "properties": {
      "type": {"type": "string", "description": "the optimizer's name; see graft plugins"},
      "lr": {"type": "number", "minimum": 0, "description": "learning rate"},
      "no_decay": {"type": "array", "items": {"type": "string"}, "default": [],
                   "description": "parts of names of trained tensors without weight decay"},
      "paged": {"anyOf": [{"type": "boolean"}, {"type": "string"}, {"type": "integer", "minimum": 1}],
                "default": false,
                "description": "states lie in a file; \"64MiB\": as many as are in memory at once (true)"}
    }})json",
                    "the schema of optimizer");
}

Json host_schema() {
  Json schema = parse_json(R"json({
    "type": "object", "additionalProperties": false,
    "required": ["model", "methods", "data", "output"],
    "properties": {
      "$schema": {"type": "string"},
      "task": {"enum": ["causal_lm"], "default": "causal_lm"},
      "model": {
        "type": "object", "additionalProperties": false, "required": ["path"],
        "description": "the base model",
        "properties": {
          "path": {"type": "string", "minLength": 1, "description": "a Hugging Face folder or a .gguf file"},
          "dtype": {"enum": ["auto", "f32", "bf16", "f16", "f64"], "default": "auto",
                    "description": "what is computed in; auto: the fastest of this machine"},
          "template": {"type": "string", "minLength": 1,
                       "description": "a chat template file instead of the model's own"}}},
      "methods": {"type": "array", "minItems": 1, "description": "what is attached and trained; the first is innermost"},
      "backend": {"type": "object", "default": {}, "description": "where it is computed",
                  "properties": {"type": {"type": "string", "minLength": 1}}},
      "optimizer": {"type": "object", "description": "how parameters are updated"},
      "train": {
        "type": "object", "additionalProperties": false, "default": {},
        "properties": {
          "steps": {"type": "integer", "minimum": 1, "description": "optimizer steps; or epochs"},
          "epochs": {"type": "integer", "minimum": 1, "description": "rounds through the data; or steps"},
          "batch_size": {"type": "integer", "minimum": 1, "maximum": 1048576, "description": "examples in a micro-step; or batch_tokens"},
          "batch_tokens": {"type": "integer", "minimum": 1, "maximum": 1073741824, "description": "tokens that fit in a micro-step; or batch_size"},
          "accumulate": {"type": "integer", "minimum": 1, "default": 1, "description": "micro-steps in a step"},
          "schedule": {"enum": ["constant", "linear", "cosine"], "default": "constant"},
          "warmup_steps": {"type": "integer", "minimum": 0},
          "warmup_ratio": {"type": "number", "minimum": 0, "maximum": 1},
          "clip": {"type": "number", "minimum": 0, "default": 0, "description": "largest global gradient norm; 0: none"},
          "seed": {"type": "integer", "minimum": 0, "default": 0},
          "memory_limit": {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}],
                           "description": "\"4GiB\": refuse to start above"},
          "recompute": {"enum": ["none", "lean", "block", "auto"], "default": "auto",
                        "description": "what the backward pass makes again instead of keeping"},
          "stop_loss": {"type": "number", "description": "stop the run when a step's loss is above"}}},
      "output": {
        "type": "object", "additionalProperties": false, "required": ["dir"],
        "properties": {
          "dir": {"type": "string", "minLength": 1, "description": "folder to write; made if it is not there"},
          "name": {"type": "string", "minLength": 1, "description": "of the adapter"},
          "save_every": {"type": "integer", "minimum": 0, "default": 0, "description": "steps between checkpoints; 0: at the end only"},
          "eval_every": {"type": "integer", "minimum": 0, "default": 0, "description": "steps between evaluations; 0: at start and end only"},
          "keep": {"type": "integer", "minimum": 1, "default": 3, "description": "newest checkpoints that are kept"},
          "best": {"type": "boolean", "default": false, "description": "the adapter with the lowest eval loss is the one in the folder"},
          "log": {"type": "array", "items": {"enum": ["progress", "jsonl"]}, "default": ["progress", "jsonl"]}}}
    }})json",
                           "the schema of RUN.json");
  schema["properties"]["data"] = data_schema();
  schema["properties"]["model"]["properties"]["quantization"] = quantization_schema();
  return schema;
}

namespace {

/// A host part and a plugin's part of one object: properties together, unknown ones refused.
Json joined(Json host, const Json& plugin, const std::string& type) {
  host["additionalProperties"] = false;
  const Json properties = plugin.value("properties", Json::object());
  for (auto it = properties.begin(); it != properties.end(); ++it) {
    host["properties"][it.key()] = it.value();
  }
  host["properties"]["type"] = {{"const", type}};
  host["required"] = Json::array({"type"});
  for (const Json& key : plugin.value("required", Json::array())) host["required"].push_back(key);
  return host;
}

}  // namespace

Json run_schema(Registry& registry) {
  Json schema = many_runs_schema();
  schema["required"] = {"model", "output"};
  schema["anyOf"] = {{{"required", {"methods", "data"}},
                      {"properties", {{"data", {{"required", Json::array({"train"})}}}}}},
                     {{"required", Json::array({"runs"})}}};
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "RUN.json of graft train";
  Json methods = Json::array(), optimizers = Json::array(), backends = Json::array();
  methods.push_back(loaded_method_schema());
  for (const std::string& name : registry.names(PluginKind::kMethod)) {
    const MethodSchema method = method_schema(registry, name, Json::object());
    const Json& part = method.schema;
    Json whole = joined(host_method_schema(), part, name);
    for (const auto& [alias, option] : aliases_of(method.api)) {
      if (whole["properties"].contains(alias) || !whole["properties"].contains(option)) continue;
      Json copy = whole["properties"][option];
      copy.erase("default");
      copy["description"] = "PEFT's name of '" + option + "'";
      whole["properties"][alias] = copy;
    }
    methods.push_back(whole);
  }
  for (const std::string& name : registry.names(PluginKind::kOptimizer)) {
    optimizers.push_back(joined(host_optimizer_schema(),
                                plugin_json(registry.optimizer(name).config_schema, name), name));
  }
  for (const std::string& name : registry.names(PluginKind::kBackend)) {
    backends.push_back(joined({{"type", "object"}, {"properties", Json::object()}},
                              plugin_json(registry.backend(name).config_schema, name), name));
  }
  schema["properties"]["methods"]["items"] = {{"oneOf", methods}};
  schema["properties"]["runs"]["items"]["properties"]["methods"]["items"] = {{"oneOf", methods}};
  schema["properties"]["optimizer"] = {{"oneOf", optimizers}};
  schema["properties"]["backend"] = {{"oneOf", backends}};
  return schema;
}

}  // namespace graft::core
