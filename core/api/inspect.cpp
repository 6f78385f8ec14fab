#include "core/api/inspect.hpp"

#include <algorithm>

#include "core/adapt/adapter_files.hpp"
#include "core/adapt/library_files.hpp"
#include "core/api/engine.hpp"
#include "core/api/guard.hpp"
#include "core/base/schema.hpp"
#include "core/tensor/gguf.hpp"
#include "core/tensor/safetensors.hpp"
#include "core/tensor/torch_file.hpp"
#include "core/train/run_config.hpp"

using namespace graft::core;

namespace graft::core {
namespace {

bool is_adapter(const fs::path& path) {
  return !adapter_config_path(path).empty() || fs::exists(path / "graft.json");
}

Json inspect_adapter(const fs::path& path, Registry& registry) {
  Json json = {{"kind", "adapter"}, {"path", path.string()}};
  const fs::path settings = adapter_config_path(path);
  const Json config =
      settings.empty() ? Json::object() : parse_json(read_file(settings), settings.string());
  if (!config.is_object()) {
    throw Error(GRAFT_E_INVALID, cat("'", path.string(), "': its configuration is no object."));
  }
  json["peft_type"] = config.value("peft_type", Json());
  const bool of_library = is_library_config(config);
  if (of_library) json["library"] = config.value("version", Json());
  json["base"] = config.value(of_library ? "model_name" : "base_model_name_or_path", Json());
  try {
    const MethodEntry entry = loaded_entry(path, registry);
    json["method"] = entry.api.name;
    json["options"] = entry.options;
    for (const auto& [key, value] : entry.host.items()) json["options"][key] = value;
  } catch (const Error& e) {
    if (e.status() != GRAFT_E_NOT_FOUND) throw;
    json["method"] = nullptr;  // its plugin is not installed
    json["options"] = config;
  }
  const Json notes = adapter_notes(path);
  if (!notes.is_null()) json["notes"] = notes;
  const Json file = inspect_tensors(adapter_weights_path(path));
  json["parameters"] = file["elements"];
  json["tensors"] = file["tensors"];
  return json;
}

/// A run with several adapters: one sub-folder each.
Json inspect_run(const fs::path& path, Registry& registry) {
  Json json = {{"kind", "run"}, {"path", path.string()}, {"adapters", Json::array()}};
  std::vector<fs::path> folders;
  for (const auto& item : fs::directory_iterator(path)) {
    if (is_adapter(item.path())) folders.push_back(item.path());
  }
  std::sort(folders.begin(), folders.end());
  for (const fs::path& folder : folders) {
    json["adapters"].push_back(inspect_adapter(folder, registry));
  }
  json["config"] = parse_json(read_file(path / "run.json"), (path / "run.json").string());
  return json;
}

Json inspect_folder(const fs::path& path, Registry& registry) {
  if (is_adapter(path)) return inspect_adapter(path, registry);
  if (fs::exists(path / "config.json")) return inspect_model(path);
  if (fs::exists(path / "run.json")) return inspect_run(path, registry);
  if (fs::exists(path / "tokenizer.json")) {
    return {{"kind", "tokenizer"}, {"path", path.string()}, {"tokenizer", inspect_tokenizer(path)}};
  }
  throw Error(GRAFT_E_INVALID,
              cat("'", path.string(), "' is a folder with none of config.json (a model), ",
                  "adapter_config.json (an adapter), run.json (a run) and tokenizer.json."));
}

InspectOptions read_options(const char* options_json) {
  const Json schema = parse_json(R"json({
    "type": "object", "additionalProperties": false, "properties": {
      "model": {"type": "string", "default": ""},
      "format": {"type": "string", "default": ""},
      "max_length": {"type": "integer", "minimum": 0, "default": 0},
      "limit": {"type": "integer", "minimum": 0, "default": 3}}})json",
                                 "the schema of inspect options");
  const Json json =
      validate(options_json ? parse_json(options_json, "inspect options") : Json::object(), schema,
               "inspect options");
  return {json["model"].get<std::string>(), json["format"], json["max_length"], json["limit"]};
}

}  // namespace

Json inspect(const fs::path& path, const InspectOptions& options, Registry& registry,
             const Log& log) {
  if (!fs::exists(path)) {
    throw Error(GRAFT_E_NOT_FOUND, cat("'", path.string(), "' does not exist."));
  }
  if (fs::is_directory(path)) return inspect_folder(path, registry);
  const std::string ending = path.extension().string();
  if (ending == ".safetensors" || ending == ".bin") return inspect_tensors(path);
  if (ending == ".gguf") return inspect_gguf(path);
  return inspect_data(path, options, log);
}

namespace {

template <class File>
void list_tensors(const File& file, Json& json) {
  Json tensors = Json::array();
  std::int64_t elements = 0;
  for (const std::string& name : file.names()) {
    const std::vector<std::int64_t>& shape = file.shape(name);
    std::int64_t n = 1;
    for (const std::int64_t extent : shape) n *= extent;
    elements += n;
    tensors.push_back({{"name", name}, {"dtype", file.type(name)}, {"shape", shape}});
  }
  json["elements"] = elements;
  json["tensors"] = tensors;
}

}  // namespace

Json inspect_tensors(const fs::path& path) {
  Json json = {{"kind", "torch"}, {"path", path.string()}};
  if (path.extension() != ".safetensors") {
    const TorchFile file = TorchFile::open(path);
    json["bytes"] = fs::file_size(path);
    list_tensors(file, json);
    return json;
  }
  const Safetensors file = Safetensors::open(path);
  Json metadata = Json::object();
  for (const auto& [key, value] : file.metadata()) metadata[key] = value;
  json["kind"] = "safetensors";
  json["bytes"] = fs::file_size(path);
  json["metadata"] = metadata;
  list_tensors(file, json);
  return json;
}

}  // namespace graft::core

graft_status graft_inspect_json(graft_engine* engine, const char* path, const char* options_json,
                                graft_text** out, graft_error* error) {
  return guard(error, [&] {
    EngineState& state = *require(engine, "engine").state;
    give(out, to_text(inspect(require_text(path, "path"), read_options(options_json),
                              state.registry, state.log)));
  });
}
