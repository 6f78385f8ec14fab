#include "core/train/run_config.hpp"

#include <algorithm>
#include <cctype>
#include <set>

#include "core/adapt/adapter_files.hpp"
#include "core/adapt/library_files.hpp"
#include "core/adapt/storage.hpp"
#include "core/base/config_error.hpp"
#include "core/base/pattern.hpp"
#include "core/base/schema.hpp"
#include "core/base/size.hpp"
#include "core/plugin/texts.hpp"
#include "core/train/fused.hpp"
#include "core/train/many_runs.hpp"
#include "core/train/method_schema.hpp"
#include "core/train/run_schema.hpp"

namespace graft::core {
namespace {

constexpr const char* kWho = "run.json";

/// Bytes of paged optimizer states that are in memory at once, where the user gives no number.
constexpr std::uint64_t kResidentStates = std::uint64_t{64} << 20;

/// Splits a validated entry into the plugin's options and the host's.
std::pair<Json, Json> split(const Json& entry, const Json& plugin_schema) {
  const Json properties = plugin_schema.value("properties", Json::object());
  Json options = Json::object(), host = Json::object();
  for (auto it = entry.begin(); it != entry.end(); ++it) {
    (properties.contains(it.key()) && it.key() != "type" ? options : host)[it.key()] = it.value();
  }
  return {options, host};
}

/// One object against the host's part and the plugin's part of its schema together.
Json validated(const Json& entry, Json host_schema, const Json& plugin_schema,
               const std::string& who) {
  host_schema["additionalProperties"] = false;
  const Json properties = plugin_schema.value("properties", Json::object());
  for (auto it = properties.begin(); it != properties.end(); ++it) {
    host_schema["properties"][it.key()] = it.value();
  }
  for (const Json& key : plugin_schema.value("required", Json::array())) {
    host_schema["required"].push_back(key);
  }
  return validate(entry, host_schema, who);
}

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// Regular expressions are tried before a model is opened.
void check_patterns(const Json& host, const std::string& who) {
  for (const char* key : {"targets", "exclude"}) {
    const std::string pattern = text_at(host, key);
    if (!pattern.empty()) full_match(pattern, "", cat(who, '/', key));
  }
}

/// Targets that the method has by itself, where none are given.
void own_targets(Json& host, const Json& schema) {
  const auto found = schema.find("x-graft-targets");
  const bool by_type = found != schema.end() && found->is_object();  // settle_targets()
  if (found != schema.end() && !by_type && !host.contains("targets")) host["targets"] = *found;
}

/// A method's wish for how the base is quantized becomes "model.quantization", if that is not there.
void ask_quantization(RunConfig& c, const Json& asked, const std::string& who) {
  const Json wish = validate(asked, quantization_schema(), who + "/quantization");
  Json& model = c.json["model"];
  if (model.contains("quantization") && model["quantization"] != wish) {
    throw Error(GRAFT_E_INVALID,
                cat(who, " asks for the base as ", wish.dump(), ", /model/quantization is ",
                    model["quantization"].dump(), ". Leave one of them out."));
  }
  model["quantization"] = wish;
}

/// A method's wish for the optimizer holds where the user names none; what else is given stays.
void ask_optimizer(RunConfig& c, const Json& wish) {
  Json& optimizer = c.json["optimizer"];
  if (!optimizer.is_null() && (!optimizer.is_object() || optimizer.contains("type"))) return;
  Json both = wish;
  if (optimizer.is_object()) both.update(optimizer);
  optimizer = both;
}

void read_method(RunConfig& c, std::size_t index, const fs::path& folder, Registry& registry) {
  const std::string who = cat(kWho, ": /methods/", index);
  Json& json = c.json["methods"][index];
  if (!json.is_object()) {
    throw Error(GRAFT_E_INVALID, cat(who, " is not an object such as {\"type\": ..}."));
  }
  MethodEntry entry;
  fs::path load;
  if (json.contains("load")) {
    json = validate(json, loaded_method_schema(), who);
    load = fs::absolute(folder / json.at("load").get<std::string>()).lexically_normal();
    json["load"] = load.string();
  } else {
    const std::string type = text_at(json, "type");
    if (type.empty()) {
      throw Error(GRAFT_E_INVALID, cat(who, " needs \"type\" (a method; see `graft plugins`) or ",
                                       "\"load\" (an adapter folder)."));
    }
    const MethodSchema method = method_schema(registry, type, json);
    entry.api = method.api;
    const Json& schema = method.schema;
    json = validated(without_aliases(json, aliases_of(entry.api), who), host_method_schema(),
                     schema, who);
    check_patterns(json, who);
    own_targets(json, schema);
    std::tie(entry.options, entry.host) = split(json, schema);
    for (const auto& [name, property] : method.own.items()) entry.options.erase(name);
    if (const std::string option = fused_option(entry.api); !option.empty()) {
      for (Json& path : json[option]) {
        path = fs::absolute(folder / path.get<std::string>()).lexically_normal().string();
      }
      entry.options[option] = json[option];
    }
    if (!method.quantization.empty()) ask_quantization(c, json.at(method.quantization), who);
    entry.name = json.value("name", type);
    if (method.optimizer.is_object()) ask_optimizer(c, method.optimizer);  // moves what json is in
  }
  c.methods.push_back(std::move(entry));
  c.load.push_back(load);
}

void read_optimizer(RunConfig& c, Registry& registry) {
  const std::string who = cat(kWho, ": /optimizer");
  if (!c.json.contains("optimizer")) {
    throw Error(GRAFT_E_INVALID, cat(who, " is missing: {\"type\": .., \"lr\": ..}."));
  }
  Json& json = c.json["optimizer"];
  c.optimizer = text_at(json, "type");
  if (c.optimizer.empty()) {
    std::string known;
    for (const std::string& name : registry.names(PluginKind::kOptimizer)) known += " " + name;
    const std::string found = json.contains("type") ? json["type"].dump() : "missing";
    throw Error(GRAFT_E_INVALID, cat(who, "/type is ", found,
                                     ", but must be the name of an optimizer:", known, "."));
  }
  const Json& schema = plugin_json(registry.optimizer(c.optimizer).config_schema, c.optimizer);
  json = validated(json, host_optimizer_schema(), schema, who);
  c.optimizer_options = split(json, schema).first;
  c.trainer.lr = json.at("lr").get<double>();
  c.trainer.no_decay = json.at("no_decay").get<std::vector<std::string>>();
  const Json& paged = json.at("paged");
  if (paged != Json(false)) {
    c.trainer.resident_states =
        paged == Json(true) ? kResidentStates : json_size(paged, who + "/paged");
    c.trainer.page_folder = c.output;
  }
}

void read_backend(RunConfig& c, Registry& registry) {
  Json& json = c.json["backend"];
  c.backend = text_at(json, "type");
  if (c.backend.empty()) {
    c.backend = registry.default_backend().name;
    json["type"] = c.backend;
  }
  const Json& schema = plugin_json(registry.backend(c.backend).config_schema, c.backend);
  Json host = {{"type", "object"}, {"properties", {{"type", {{"type", "string"}}}}}};
  json = validated(json, host, schema, cat(kWho, ": /backend"));
  c.backend_options = json;
}

void one_of(const Json& object, const char* a, const char* b, const char* where, bool required) {
  const bool has_a = object.contains(a), has_b = object.contains(b);
  if (has_a && has_b) {
    throw Error(GRAFT_E_INVALID,
                cat(kWho, ": ", where, " has both '", a, "' and '", b, "'; give one of them."));
  }
  if (required && !has_a && !has_b) {
    throw Error(GRAFT_E_INVALID, cat(kWho, ": ", where, " needs '", a, "' or '", b, "'."));
  }
}

void read_train(RunConfig& c) {
  Json& t = c.json["train"];
  one_of(t, "warmup_steps", "warmup_ratio", "/train", false);
  one_of(t, "steps", "epochs", "/train", false);
  one_of(t, "batch_size", "batch_tokens", "/train", false);
  if (!t.contains("steps") && !t.contains("epochs")) t["epochs"] = 1;
  if (!t.contains("batch_size") && !t.contains("batch_tokens")) t["batch_size"] = 4;
  c.batches.steps = t.value("steps", std::int64_t{0});
  c.batches.epochs = t.value("epochs", std::int64_t{0});
  c.batches.batch_size = t.value("batch_size", std::int64_t{0});
  c.batches.batch_tokens = t.value("batch_tokens", std::int64_t{0});
  c.batches.accumulate = t.at("accumulate");
  c.batches.shuffle = c.json["data"].at("shuffle");
  c.batches.seed = t.at("seed").get<std::uint64_t>();
  c.trainer.seed = c.batches.seed;
  c.trainer.clip = t.at("clip");
  c.trainer.schedule.kind = t.at("schedule").get<std::string>();
  c.trainer.schedule.warmup = t.value("warmup_steps", std::int64_t{0});
  c.warmup_ratio = t.value("warmup_ratio", 0.0);
  if (t.contains("memory_limit")) {
    const std::string who = cat(kWho, ": /train/memory_limit");
    c.trainer.memory_limit = json_size(t["memory_limit"], who);
    if (c.trainer.memory_limit == 0) {
      throw Error(GRAFT_E_INVALID, cat(who, " is 0 bytes, in which nothing runs. Give the memory ",
                                       "that a run may take (\"4GiB\"), or leave it out."));
    }
  }
  const std::string recompute = t.at("recompute");
  c.trainer.recompute = recompute == "none"    ? RecomputeChoice::kNothing
                        : recompute == "lean"  ? RecomputeChoice::kLean
                        : recompute == "block" ? RecomputeChoice::kBlock
                                               : RecomputeChoice::kAuto;
  c.stop_loss = t.value("stop_loss", 0.0);
}

void make_absolute(Json& object, const char* key, const fs::path& folder) {
  if (!object.contains(key) || !object[key].is_string()) return;
  if (object[key] == "-") {
    object[key] = "/dev/stdin";
    return;
  }
  object[key] = fs::absolute(folder / object[key].get<std::string>()).lexically_normal().string();
}

/// Names become folders beside the files of a run.
bool is_plain_name(const std::string& name) {
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c >= 0x80;
  });
}

bool is_taken_name(const std::string& name) {
  const bool file = name.ends_with(".json") || name.ends_with(".safetensors") ||
                    name.ends_with(".jsonl") || name.ends_with(".bin") || name.ends_with(".txt");
  return name == "checkpoints" || file;
}

bool is_folder_name(const std::string& name) {
  return is_plain_name(name) && !is_taken_name(name) && !name.empty() && name[0] != '.';
}

/// What adapter folders say of methods.
void read_loaded(RunConfig& c, Registry& registry) {
  for (std::size_t i = 0; i < c.methods.size(); ++i) {
    if (c.load[i].empty()) continue;
    c.methods[i] = loaded_entry(c.load[i], registry);
    const Json& json = c.json["methods"][i];
    if (json.contains("name")) c.methods[i].name = json["name"];
  }
  const std::vector<bool> remains = fuse(c.methods, c.load, registry);
  for (std::size_t i = remains.size(); i-- > 0;) {
    if (remains[i]) continue;
    c.methods.erase(c.methods.begin() + static_cast<std::ptrdiff_t>(i));
    c.load.erase(c.load.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void unique_names(RunConfig& c) {
  if (!c.name.empty() && c.methods.size() == 1) c.methods[0].name = c.name;
  std::set<std::string> taken;
  for (MethodEntry& entry : c.methods) {
    const std::string wanted = entry.name;
    for (int i = 2; !taken.insert(entry.name).second; ++i) entry.name = cat(wanted, "-", i);
    require_folder_name(entry.name, "an adapter");
  }
}

void read_keys(RunConfig& c, const fs::path& folder, Registry& registry) {
  c.json = validate(c.json, host_schema(), kWho);
  make_absolute(c.json["model"], "path", folder);
  make_absolute(c.json["model"], "template", folder);
  make_absolute(c.json["output"], "dir", folder);
  make_absolute(c.json["data"], "train", folder);
  make_absolute(c.json["data"], "eval", folder);
  if (c.json["data"]["train"].is_array()) {
    for (Json& item : c.json["data"]["train"]) make_absolute(item, "path", folder);
  }
  c.model = c.json["model"]["path"].get<std::string>();
  c.chat_template = text_at(c.json["model"], "template");
  c.dtype = c.json["model"]["dtype"].get<std::string>();
  const Json& output = c.json["output"];
  c.output = output["dir"].get<std::string>();
  c.name = text_at(output, "name");
  c.save_every = output["save_every"];
  c.eval_every = output["eval_every"];
  c.keep = output["keep"];
  c.best = output["best"];
  const Json& log = output["log"];
  c.log_progress = std::find(log.begin(), log.end(), Json("progress")) != log.end();
  c.log_jsonl = std::find(log.begin(), log.end(), Json("jsonl")) != log.end();
  read_backend(c, registry);
  for (std::size_t i = 0; i < c.json["methods"].size(); ++i) read_method(c, i, folder, registry);
  c.quantization = read_quantization(c.json["model"].value("quantization", Json()));
  read_optimizer(c, registry);
  read_train(c);
  const Json& data = c.json["data"];
  if (c.best && !data.contains("eval") && !data.contains("eval_fraction")) {
    throw Error(GRAFT_E_INVALID, cat(kWho, ": /output/best needs an eval loss to choose by: give ",
                                     "data.eval or data.eval_fraction."));
  }
  c.data = data_options(data, "", c.batches.seed);
}

}  // namespace

void require_folder_name(const std::string& name, const char* of) {
  if (is_folder_name(name)) return;
  throw Error(GRAFT_E_INVALID,
              cat(kWho, ": '", name, "' is no name for ", of, ": ",
                  is_taken_name(name) ? "a run has a file or folder of that name"
                                      : "it becomes a folder's, so letters, digits, '_', '-' "
                                        "and '.' (not in front) can be in it",
                  "."));
}

/// A NUL would end a path or a name before its end.
void refuse_nul(const Json& value, const std::string& where) {
  if (value.is_string() && value.get_ref<const std::string&>().find('\0') != std::string::npos) {
    throw Error(GRAFT_E_INVALID, cat(kWho, ": ", where, " holds a NUL (\\u0000). Take it out."));
  }
  if (!value.is_structured()) return;
  for (const auto& [key, item] : value.items()) refuse_nul(item, cat(where, "/", key));
}

std::vector<RunConfig> read_run_configs(std::string_view text, const fs::path& folder,
                                        Registry& registry) {
  const Json json = of_the_config([&] { return parse_json(text, kWho); });
  std::vector<RunConfig> runs;
  if (!json.is_object() || !json.contains("runs")) {
    runs.push_back(read_run_config(text, folder, registry));
    return runs;
  }
  for (const auto& [name, alone] : of_the_config([&] { return apart(json); })) {
    const std::string run = name, its_text = to_text(alone);
    of_run(run, [&] { runs.push_back(read_run_config(its_text, folder, registry)); });
    runs.back().run = run;
  }
  of_the_config([&] { require_one_base(runs); });
  return runs;
}

RunConfig read_run_config(std::string_view text, const fs::path& folder, Registry& registry) {
  RunConfig c;
  of_the_config([&] {
    c.json = parse_json(text, kWho);
    refuse_nul(c.json, "");
    read_keys(c, folder, registry);
  });
  read_loaded(c, registry);
  of_the_config([&] { unique_names(c); });
  return c;
}

namespace {

/// Names of the adapters that a configuration says are fused.
std::vector<std::string> fused_names(const Json& config, const fs::path& file, const char* key) {
  std::vector<std::string> names;
  for (const Json& name : config.value(key, Json::array())) {
    if (!name.is_string()) {
      throw Error(GRAFT_E_INVALID, cat(file.string(), ": \"", key, "\" is no list of names."));
    }
    names.push_back(name.get<std::string>());
  }
  return names;
}

/// An adapter of a method without a PEFT format: all is in graft.json.
MethodEntry native_entry(const fs::path& folder, Registry& registry) {
  const fs::path file = folder / "graft.json";
  const Json notes = adapter_notes(folder);
  const std::string method = notes.is_object() ? text_at(notes, "method") : std::string();
  if (method.empty()) {
    throw Error(GRAFT_E_INVALID, cat("'", file.string(), "' names no method."));
  }
  MethodEntry entry;
  entry.name = method;
  entry.api = registry.method(method);
  const Json& schema = plugin_json(entry.api.config_schema, method);
  entry.options = validate(notes.value("options", Json::object()), schema, file.string());
  entry.host = validate(notes.value("host", Json::object()), host_method_schema(), file.string());
  own_targets(entry.host, schema);
  entry.fuses = fused_names(notes, file, "fuses");
  entry.loaded = true;
  return entry;
}

/// Of the installed methods that a file's configuration may mean the one that it contradicts least.
std::string meant_method(const Json& config, const fs::path& file, Registry& registry) {
  const bool of_library = is_library_config(config);
  const Json& options = of_library ? config["config"] : config;
  const std::string wanted = !of_library                        ? text_at(config, "peft_type")
                             : config.contains("adapter_names") ? "fusion"
                                                                : "adapters";
  const std::string architecture = of_library ? text_at(options, "architecture") : "";
  std::string meant;
  std::size_t fewest = 0;
  for (const std::string& name : registry.names(PluginKind::kMethod)) {
    const auto storage = storage_of(registry.method(name));
    if (!storage || storage->of_peft() == of_library || !architecture.empty()) continue;
    if ((of_library ? storage->layout : storage->peft_type) != wanted) continue;
    const std::size_t n = contradictions(*storage, options);
    if (!meant.empty() && n >= fewest) continue;
    meant = name;
    fewest = n;
  }
  if (!meant.empty()) return meant;
  throw Error(GRAFT_E_NOT_FOUND,
              cat(file.string(), ": no installed method plugin reads ",
                  !of_library            ? cat("the peft_type '", wanted, "'")
                  : architecture.empty() ? cat("what the adapters library calls ", wanted)
                                         : cat("the adapters library's '", architecture, "'"),
                  ". `graft plugins` lists what is installed."));
}

}  // namespace

MethodEntry loaded_entry(const fs::path& folder, Registry& registry) {
  const fs::path known = adapter_config_path(folder);
  if (known.empty() && fs::exists(folder / "graft.json")) return native_entry(folder, registry);
  const fs::path file = known.empty() ? folder / "adapter_config.json" : known;
  const Json config = parse_json(read_file(file), file.string());
  MethodEntry entry;
  entry.name = meant_method(config, file, registry);
  entry.api = registry.method(entry.name);
  const Json& schema = plugin_json(entry.api.config_schema, entry.name);
  Json options, host = Json::object();
  if (is_library_config(config)) {
    options = from_library(entry.api, config, file.string());
    entry.fuses = fused_names(config, file, "adapter_names");
    const std::string name = text_at(config, "name");
    if (entry.fuses.empty() && is_folder_name(name)) entry.name = name;
    const Json notes = adapter_notes(folder);
    const std::string option = fused_option(entry.api);
    if (!option.empty() && notes.is_object() && notes.contains("options")) {
      options[option] = notes["options"].value(option, Json::array());
    }
  } else {
    std::tie(options, host) = from_peft(entry.api, config, file.string());
    const Json beside = storage_of(entry.api)->beside;
    if (beside.is_object() && !has_parameters_beside(folder)) options.update(beside);
  }
  entry.options = validate(options, schema, file.string());
  entry.host = validate(host, host_method_schema(), file.string());
  own_targets(entry.host, schema);
  entry.loaded = true;
  return entry;
}

}  // namespace graft::core
