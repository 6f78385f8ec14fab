#include "core/adapt/adapter_files.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "core/adapt/adapter_tensors.hpp"
#include "core/adapt/library_files.hpp"
#include "core/adapt/storage.hpp"
#include "core/base/error.hpp"
#include "core/tensor/expand.hpp"

namespace graft::core {
namespace {

constexpr const char* kPrefix = "base_model.model.";
constexpr const char* kBaseLayer = ".base_layer.";
constexpr const char* kBeside = "graft_parameters.safetensors";
constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kFusionConfig = "adapter_fusion_config.json";
constexpr const char* kNotes = "graft.json";

/// The files of each layout. The library writes and looks for a pickle, unless it is told otherwise.
struct Names {
  const char *layout, *config, *weights, *pickled;
};
constexpr Names kNames[] = {{"peft", kConfig, "adapter_model.safetensors", "adapter_model.bin"},
                            {"adapters", kConfig, "adapter.safetensors", "pytorch_adapter.bin"},
                            {"fusion", kFusionConfig, "model_adapter_fusion.safetensors",
                             "pytorch_model_adapter_fusion.bin"}};

const Names& names_of(const std::string& layout) {
  for (const Names& names : kNames) {
    if (layout == names.layout) return names;
  }
  throw Error(GRAFT_E_INVALID, cat("a method's storage names the unknown layout '", layout, "'."));
}

std::string layout_of(const MethodEntry& entry) {
  const auto storage = storage_of(entry.api);
  return storage ? storage->layout : kNames[0].layout;
}

/// A parameter's or stored tensor's name in the file of an adapter called `name`.
template <class Named>
std::string key_of(const Named& tensor, const std::string& name) {
  return tensor.key.empty() ? kPrefix + tensor.name : with_name(tensor.key, name);
}

/// PEFT writes untouched copies of targeted embeddings beside the adapter.
bool is_base_copy(const std::string& key) {
  return key.ends_with(".base_layer.weight");
}

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);  // the end where `object` is none
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// The second key of a tensor that the library has twice, or "".
std::string copy_of(const std::string& key, const std::optional<Storage>& storage) {
  for (const Json& pair : storage ? storage->copies : Json::array()) {
    const auto& part = pair.at(0).get_ref<const std::string&>();
    const std::size_t at = key.find(part);
    if (at == key.npos) continue;
    return std::string(key).replace(at, part.size(), pair.at(1).get<std::string>());
  }
  return "";
}

}  // namespace

void save_adapter(const fs::path& folder, const MethodEntry& entry,
                  const std::vector<StoredTensor>& tensors, const Origin& origin,
                  const std::vector<std::string>& attached) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) {
    throw Error(GRAFT_E_IO,
                cat("cannot make the folder '", folder.string(), "': ", failed.message(), "."));
  }
  const auto storage = storage_of(entry.api);
  const Names& files = names_of(layout_of(entry));
  const std::string name = library_name(entry);
  std::vector<SafetensorsItem> items, beside;
  for (const StoredTensor& t : tensors) {
    const auto write = [&t](const Sink& sink) {
      const std::vector<float> values = t.values();
      sink(values.data(), values.size() * sizeof(float));
    };
    const std::string key = key_of(t, name), copy = copy_of(key, storage);
    (t.beside ? beside : items).push_back({key, GRAFT_F32, t.dims, write});
    if (!copy.empty()) items.push_back({copy, GRAFT_F32, t.dims, write});
  }
  if (!beside.empty()) write_safetensors(folder / kBeside, std::move(beside), {{"format", "pt"}});
  const bool of_library = storage && !storage->of_peft();
  if (of_library) write_torch_file(folder / files.pickled, items);
  write_safetensors(folder / files.weights, std::move(items), {{"format", "pt"}});
  Json notes = {{"format", 1},
                {"method", entry.api.name},
                {"name", entry.name},
                {"options", entry.options},
                {"host", entry.host},
                {"base", {{"path", origin.base_path}, {"fingerprint", origin.base_fingerprint}}},
                {"template_hash", origin.template_hash}};
  if (!entry.fuses.empty()) notes["fuses"] = entry.fuses;
  if (!origin.quantization.is_null()) notes["base"]["quantization"] = origin.quantization;
  write_file_atomically(folder / kNotes, notes.dump(2) + "\n");
  if (!storage || (of_library && !library_refusal(entry, origin.facts, attached).empty())) return;
  const Json config = of_library ? to_library(entry, origin, attached)
                                 : to_peft(entry.api, entry.options, entry.host, origin.base_path,
                                           attached, origin.facts);
  write_file_atomically(folder / files.config, config.dump(2) + "\n");
}

namespace {

std::vector<float> read_tensor(const AdapterTensors& file, const std::string& key,
                               const std::vector<std::int64_t>& dims) {
  if (!file.has(key)) {
    throw Error(
        GRAFT_E_INVALID,
        cat("'", file.path().string(), "' has no tensor '", key, "', which its ",
            "configuration and the base model ask for. Is it an adapter for another base?"));
  }
  const HostTensor tensor = file.tensor(key);
  if (tensor.shape != dims) {
    throw Error(GRAFT_E_INVALID,
                cat("'", file.path().string(), "': tensor '", key, "' is ",
                    shape_text(tensor.shape), ", but its configuration and the base model need ",
                    shape_text(dims), ". Is it an adapter for another base?"));
  }
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  expand(tensor, GRAFT_F32, values.data(), 1);
  return values;
}

/// Where the tensors of a file are, and which of its keys may be there without a parameter.
struct Source {
  const AdapterTensors& file;
  std::string name;  ///< of the adapter, in keys
  Json may_be_there = Json::array();
  std::optional<Storage> storage = {};
};

/// Reads the parameters marked `wanted` of an entry into `values`.
void read_parameters(const Source& source, const std::vector<Parameter>& parameters,
                     const std::vector<bool>& wanted, std::vector<std::vector<float>>& values) {
  const AdapterTensors& file = source.file;
  std::set<std::string> used;
  const auto may_be_there = [&](const std::string& key) {
    return std::any_of(
        source.may_be_there.begin(), source.may_be_there.end(), [&](const Json& name) {
          const std::string_view text = name.get_ref<const std::string&>();
          return text.starts_with("..") ? key.ends_with(text.substr(1)) : key == text;
        });
  };
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    if (!wanted[i]) continue;
    std::string key = key_of(p, source.name);
    const std::size_t infix = key.find(kBaseLayer);
    if (infix != std::string::npos && !file.has(key)) {  // PEFT to 0.5 had none
      key.erase(infix, std::string_view(kBaseLayer).size() - 1);
    }
    values[i] = read_tensor(file, key, p.stored_dims());
    if (p.transposed) values[i] = transposed(values[i], p.dims[1]);
    used.insert(key);
    used.insert(copy_of(key, source.storage));
  }
  for (const std::string& key : file.names()) {
    if (used.count(key) > 0 || is_base_copy(key) || may_be_there(key)) continue;
    if (file.empty(key)) continue;  // of a module that has lost all of its ranks
    throw Error(
        GRAFT_E_INVALID,
        cat("'", file.path().string(), "': tensor '", key, "' belongs to no module that its ",
            "configuration targets in this model. Is it an adapter for another base?"));
  }
}

AdapterTensors open_weights(const fs::path& folder, const std::string& layout,
                            const std::string& base_prefix) {
  const Names& files = names_of(layout);
  const bool of_peft = layout == kNames[0].layout;
  return AdapterTensors::open(
      folder / files.weights, folder / files.pickled,
      of_peft ? AdapterTensors::Rename{}
              : [base_prefix](std::string key) { return todays_key(std::move(key), base_prefix); });
}

/// "model." of the keys of the library's files.
std::string base_prefix(const std::string& key) {
  return key.substr(0, key.find('.') + 1);
}

}  // namespace

fs::path adapter_config_path(const fs::path& folder) {
  for (const char* name : {kConfig, kFusionConfig}) {
    if (fs::exists(folder / name)) return folder / name;
  }
  return {};
}

fs::path adapter_weights_path(const fs::path& folder) {
  for (const Names& names : kNames) {
    for (const char* file : {names.weights, names.pickled}) {
      if (fs::exists(folder / file)) return folder / file;
    }
  }
  return folder / kNames[0].weights;
}

std::string adapter_name(const fs::path& folder) {
  const fs::path path = adapter_config_path(folder);
  const Json config =
      path.empty() ? adapter_notes(folder) : parse_json(read_file(path), path.string());
  return text_at(config, "name");
}

std::vector<std::vector<float>> load_adapter(const fs::path& folder,
                                             const std::vector<Parameter>& parameters,
                                             std::size_t index, const MethodEntry& entry) {
  std::vector<std::vector<float>> values(parameters.size());
  std::vector<bool> inside(parameters.size()), beside(parameters.size());
  std::string prefix;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    if (p.entry != index || (p.flags & GRAFT_PARAM_NOSAVE) != 0) continue;
    ((p.flags & GRAFT_PARAM_BESIDE) != 0 ? beside : inside)[i] = true;
    prefix = base_prefix(p.key);
  }
  const auto storage = storage_of(entry.api);
  const std::string layout = layout_of(entry);
  const AdapterTensors file = open_weights(folder, layout, prefix);
  const bool of_library = storage && !storage->of_peft();
  read_parameters({file, of_library ? adapter_name(folder) : "",
                   storage ? storage->computed : Json::array(), storage},
                  parameters, inside, values);
  if (std::find(beside.begin(), beside.end(), true) != beside.end()) {
    const AdapterTensors more = AdapterTensors::open(folder / kBeside, {}, {});
    read_parameters({more, ""}, parameters, beside, values);
  }
  return values;
}

std::vector<float> adapter_tensor(const fs::path& folder, const std::string& name,
                                  const std::vector<std::int64_t>& dims) {
  const std::string path = adapter_weights_path(folder).filename().string();
  const bool of_library = path == kNames[1].weights || path == kNames[1].pickled;
  const std::string layout = kNames[of_library ? 1 : 0].layout;
  const std::string key =
      of_library ? with_name(library_key(layout, name), adapter_name(folder)) : kPrefix + name;
  return read_tensor(open_weights(folder, layout, base_prefix(key)), key, dims);
}

bool has_parameters_beside(const fs::path& folder) {
  return fs::exists(folder / kBeside);
}

Json adapter_notes(const fs::path& folder) {
  const fs::path path = folder / kNotes;
  if (!fs::exists(path)) return nullptr;
  return parse_json(read_file(path), path.string());
}

void compare_origin(const fs::path& folder, const Origin& now, const Log& log) {
  const Json notes = adapter_notes(folder);
  if (!notes.is_object()) return;
  const Json base = notes.contains("base") ? notes["base"] : Json::object();
  const std::string was = text_at(base, "fingerprint");
  if (!was.empty() && !now.base_fingerprint.empty() && was != now.base_fingerprint) {
    log.warning("adapter", cat("'", folder.string(), "' was trained on '", text_at(base, "path"),
                               "', whose tensors differ from those of '", now.base_path, "'."));
  }
  const Json quantization = base.is_object() ? base.value("quantization", Json()) : Json();
  if (quantization != now.quantization) {
    const auto shown = [](const Json& q) { return q.is_null() ? "not quantized" : q.dump(); };
    log.warning("adapter", cat("'", folder.string(), "' was trained on a base that was ",
                               shown(quantization), "; here it is ", shown(now.quantization), "."));
  }
  const std::string hash = text_at(notes, "template_hash");
  if (!hash.empty() && !now.template_hash.empty() && hash != now.template_hash) {
    log.warning("adapter", cat("'", folder.string(),
                               "' was trained with another chat template than this model has."));
  }
}

}  // namespace graft::core
