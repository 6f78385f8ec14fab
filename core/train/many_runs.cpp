#include "core/train/many_runs.hpp"

#include <algorithm>
#include <set>

#include "core/base/schema.hpp"
#include "core/data/dataset.hpp"
#include "core/graph/extent.hpp"
#include "core/train/run_schema.hpp"

namespace graft::core {
namespace {

constexpr const char* kWho = "run.json";

/// Keys that a run can have beside its name; all but methods over those of all runs.
constexpr const char* kOwn[] = {"methods", "data", "optimizer", "train", "output"};

/// Of each of these one is given.
constexpr std::pair<const char*, const char*> kChoices[] = {{"steps", "epochs"},
                                                            {"batch_size", "batch_tokens"},
                                                            {"warmup_steps", "warmup_ratio"},
                                                            {"eval", "eval_fraction"}};

/// The keys of a run over the common ones.
Json over(Json common, const Json& own) {
  if (!common.is_object() || !own.is_object()) return own;
  for (const auto& [a, b] : kChoices) {
    if (own.contains(a)) common.erase(b);
    if (own.contains(b)) common.erase(a);
  }
  // Options of another optimizer mean nothing to this one.
  if (own.contains("type") && common.contains("type") && own["type"] != common["type"]) return own;
  common.update(own);
  return common;
}

/// Takes the defaults out of the parts of a schema that a run and all runs may give, as what is not given
/// is that of all runs, or the default of a run alone.
void drop_defaults(Json& parts) {
  for (const char* key : {"data", "train", "output"}) {
    for (auto& [name, property] : parts[key]["properties"].items()) property.erase("default");
    parts[key].erase("default");
  }
}

}  // namespace

std::string about_run(const std::string& name, const std::string& message) {
  if (name.empty()) return message;
  const std::string file = cat(kWho, ": ");
  const std::string rest = message.starts_with(file) ? message.substr(file.size()) : message;
  return cat(file, "run '", name, "': ", rest);
}

Json many_runs_schema() {
  Json schema = host_schema();
  const Json& parts = schema["properties"];
  Json run = parse_json(R"json({
    "type": "object", "additionalProperties": false, "required": ["name"],
    "properties": {
      "name": {"type": "string", "minLength": 1,
               "description": "its folder in output.dir: letters, digits, _, -, ."}}})json",
                        "the schema of runs");
  for (const char* key : kOwn) {
    run["properties"][key] = parts[key];
    run["properties"][key].erase("required");
    run["properties"][key].erase("default");
  }
  drop_defaults(run["properties"]);
  for (const char* shared : {"dir", "log"}) run["properties"]["output"]["properties"].erase(shared);
  schema["properties"]["runs"] = {
      {"type", "array"},
      {"minItems", 1},
      {"maxItems", kGroups},
      {"description",
       "several runs that share each pass through the base; the keys beside are those of all"},
      {"items", run}};
  schema["properties"]["data"].erase("required");
  schema["required"] = {"model", "output", "runs"};
  return schema;
}

std::vector<std::pair<std::string, Json>> apart(const Json& whole) {
  Json schema = many_runs_schema();
  drop_defaults(schema["properties"]);
  const Json all = validate(whole, schema, kWho);
  std::vector<std::pair<std::string, Json>> result;
  std::set<std::string> names;
  for (const Json& run : all["runs"]) {
    const std::string name = run["name"];
    require_folder_name(name, "a run");
    if (!names.insert(name).second) {
      throw Error(GRAFT_E_INVALID, cat(kWho, ": two of the runs are named '", name,
                                       "'. Each needs a name, and a folder, of its own."));
    }
    Json one = all;
    one.erase("runs");
    for (const char* key : kOwn) {
      if (run.contains(key)) one[key] = over(one.value(key, Json()), run[key]);
    }
    const std::string folder = all["output"]["dir"];
    one["output"]["dir"] = (fs::path(folder) / name).string();
    result.emplace_back(name, std::move(one));
  }
  return result;
}

void require_one_base(const std::vector<RunConfig>& runs) {
  const auto same = [&](const char* section, const char* key) {
    const auto value = [&](const RunConfig& c) {
      const Json& part = c.json.at(section);
      return key ? part.value(key, Json()) : part;
    };
    for (const RunConfig& run : runs) {
      if (value(run) == value(runs[0])) continue;
      throw Error(
          GRAFT_E_INVALID,
          cat(kWho, ": the runs share one base, but /", section, key ? "/" : "", key ? key : "",
              " is ", value(runs[0]).dump(), " for '", runs[0].run, "' and ", value(run).dump(),
              " for '", run.run, "'. Say it once for all runs."));
    }
  };
  same("model", nullptr);
  same("backend", nullptr);
  same("train", "memory_limit");
  same("train", "recompute");
}

Json config_of_all(const std::vector<const RunConfig*>& runs) {
  Json all = runs[0]->json;
  if (runs[0]->run.empty()) return all;
  for (const char* key : kOwn) all.erase(key);
  all["output"] = {{"dir", runs[0]->output.parent_path().string()},
                   {"log", runs[0]->json["output"]["log"]}};
  all["runs"] = Json::array();
  for (const RunConfig* run : runs) {
    Json own = {{"name", run->run}};
    for (const char* key : kOwn) own[key] = run->json.at(key);
    for (const char* shared : {"dir", "log"}) own["output"].erase(shared);
    all["runs"].push_back(own);
  }
  return all;
}

}  // namespace graft::core
