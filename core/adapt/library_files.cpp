#include "core/adapt/library_files.hpp"

#include <algorithm>
#include <set>

#include "core/adapt/storage_fields.hpp"
#include "core/base/error.hpp"

namespace graft::core {
namespace {

/// Families for which the library has adapters between blocks and the residual stream, as graft has.
/// To others it hooks them behind projections, and norms there with the last layer's norm.
struct KnownModel {
  const char *type, *fixed_head, *flexible_head;
};
constexpr KnownModel kModels[] = {{"llama", "LlamaForCausalLM", "LlamaAdapterModel"},
                                  {"mistral", "MistralForCausalLM", "MistralAdapterModel"},
                                  {"gpt2", "GPT2LMHeadModel", "GPT2AdapterModel"}};

const KnownModel* known_model(const std::string& type) {
  for (const KnownModel& model : kModels) {
    if (model.type == type) return &model;
  }
  return nullptr;
}

std::string known_types() {
  std::string text;
  for (const KnownModel& model : kModels) text += cat(text.empty() ? "" : ", ", model.type);
  return text;
}

constexpr const char* kVersion = "adapters.1.3.0";
constexpr std::string_view kName = "{name}";

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
  return text;
}

/// "model.layers.3.mlp.residual": {"model.layers.3", ".mlp.residual"}
std::pair<std::string, std::string> layer_and_place(const std::string& site) {
  std::size_t at = site.find('.');
  while (at != site.npos) {  // behind the number
    const std::size_t next = site.find('.', at + 1);
    const std::string_view part = std::string_view(site).substr(at + 1, next - at - 1);
    const bool number = !part.empty() && std::all_of(part.begin(), part.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
    if (number && next != site.npos) return {site.substr(0, next), site.substr(next)};
    at = next;
  }
  return {"", site};
}

std::int64_t number_of(const std::string& layer) {
  return std::stoll(layer.substr(layer.rfind('.') + 1));
}

Json left_out(const Json& facts, const std::vector<std::string>& attached) {
  std::set<std::int64_t> there;
  for (const std::string& site : attached) {
    const auto [layer, place] = layer_and_place(site);
    if (!layer.empty()) there.insert(number_of(layer));
  }
  Json list = Json::array();
  for (std::int64_t l = 0; l < facts.value("layers", std::int64_t{0}); ++l) {
    if (there.count(l) == 0) list.push_back(l);
  }
  return list;
}

}  // namespace

bool is_library_config(const Json& config) {
  const auto inner = config.find("config");
  return config.is_object() && !config.contains("peft_type") && inner != config.end() &&
         inner->is_object();
}

std::string library_key(const std::string& layout, const std::string& parameter) {
  const std::string container = layout == "fusion" ? "adapter_fusion_layer" : "adapters";
  const std::string at = cat('.', container, '.', kName, '.');
  std::string key = replaced(parameter, ".self_attn.residual.", ".attention_adapters" + at);
  key = replaced(key, ".mlp.residual.", ".output_adapters" + at);
  return replaced(key, ".invertible.", cat(".invertible_adapters.", kName, '.'));
}

std::string with_name(std::string key, const std::string& name) {
  return replaced(std::move(key), kName, name);
}

std::string todays_key(std::string key, const std::string& prefix) {
  for (const char* old : {"attention_text_task_adapters", "attention_text_lang_adapters",
                          "layer_text_task_adapters", "layer_text_lang_adapters"}) {
    key = replaced(key, old, "adapters");
  }
  key = replaced(key, "invertible_lang_adapters", "invertible_adapters");
  return key.starts_with(prefix) ? key : prefix + key;
}

std::string library_name(const MethodEntry& entry) {
  if (entry.fuses.empty()) return replaced(entry.name, ".", "_");  // keys are cut at points
  std::string names;
  for (const std::string& name : entry.fuses) names += cat(names.empty() ? "" : ",", name);
  return names;
}

std::string library_refusal(const MethodEntry& entry, const Json& facts,
                            const std::vector<std::string>& attached) {
  const std::string type = text_at(facts, "type");
  if (!known_model(type)) {
    return cat("for models of the type '", type, "' it has no such adapters; it has them for ",
               known_types());
  }
  const Json saved = entry.host.value("modules_to_save", Json());
  if (!is_empty(saved)) return "it has no 'modules_to_save'";
  const auto storage = storage_of(entry.api);
  std::set<std::string> layers;
  const std::set<std::string> there(attached.begin(), attached.end());
  for (const std::string& site : attached) layers.insert(layer_and_place(site).first);
  for (const auto& [option, place] : storage->places.items()) {
    for (const std::string& layer : layers) {
      if (layer.empty()) continue;
      const bool wanted = entry.options.value(option, false);
      const auto site = layer + place.get<std::string>();
      if (wanted != (there.count(site) > 0)) {
        return cat("it has adapters at all layers that have any, or at none, and here '", site,
                   wanted ? "' has none" : "' has one");
      }
    }
  }
  return "";
}

Json to_library(const MethodEntry& entry, const Origin& origin,
                const std::vector<std::string>& attached) {
  const auto storage = storage_of(entry.api);
  Json inner = storage->constants;
  for (const auto& [option, text] : storage->fields.items()) {
    const Field field = field_of(text);
    if (entry.options.contains(option)) inner[field.key] = theirs(field, entry.options[option]);
  }
  if (!storage->places.empty()) inner["leave_out"] = left_out(origin.facts, attached);
  const KnownModel* model = known_model(text_at(origin.facts, "type"));
  const bool flexible = !storage->flexible.empty() && entry.options.value(storage->flexible, false);
  Json config = {{"config", inner},
                 {"hidden_size", origin.facts.value("hidden", Json())},
                 {"model_class", flexible ? model->flexible_head : model->fixed_head},
                 {"model_name", origin.base_path},
                 {"model_type", model->type},
                 {"name", library_name(entry)},
                 {"version", kVersion}};
  if (!entry.fuses.empty()) config["adapter_names"] = entry.fuses;
  return config;
}

Json from_library(const graft_method_api& api, const Json& config, std::string_view who) {
  const auto storage = storage_of(api);
  const std::string type = text_at(config, "model_type");
  if (!known_model(type)) {
    throw Error(
        GRAFT_E_INVALID,
        cat(who, ": \"model_type\" is '", type, "', for which the adapters library places ",
            "such adapters otherwise than graft. The same are those for ", known_types(), "."));
  }
  Json inner = config.at("config");
  if (std::string word = text_at(inner, "non_linearity"); !word.empty()) {
    std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) {
      return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    });
    if (!config.contains("version")) {  // the names of its predecessor
      word = word == "gelu" ? "gelu_new" : word == "gelu_orig" ? "gelu" : word;
    }
    inner["non_linearity"] = word;
  }
  Json options = Json::object();
  std::set<std::string> used = {"architecture"};
  for (const Json& key : storage->ignored) used.insert(key.get<std::string>());
  for (const auto& [option, text] : storage->fields.items()) {
    const Field field = field_of(text);
    used.insert(field.key);
    const auto found = inner.find(field.key);
    if (found != inner.end() && !found->is_null()) {
      options[option] = ours(field, *found, who);
    } else if (!field.missing.is_null()) {
      options[option] = field.missing;
    }
  }
  for (const auto& [key, value] : storage->constants.items()) {
    used.insert(key);
    const auto found = inner.find(key);
    if (found == inner.end() || *found == value) continue;
    if (is_empty(*found) && is_empty(value)) continue;
    throw Error(GRAFT_E_INVALID, cat(who, ": \"", key, "\": ", found->dump(),
                                     " is not supported; graft computes ", value.dump(), "."));
  }
  for (const auto& [key, value] : inner.items()) {
    if (used.count(key) > 0 || is_empty(value)) continue;
    throw Error(GRAFT_E_INVALID,
                cat(who, ": \"", key, "\": ", value.dump(), " is not known to method '", api.name,
                    "', so the result could differ from the adapters library's."));
  }
  const std::string model_class = text_at(config, "model_class");
  if (!storage->flexible.empty() && !model_class.empty()) {
    options[storage->flexible] = model_class.ends_with("AdapterModel");
  }
  return options;
}

}  // namespace graft::core
