#include "core/adapt/adapter_files.hpp"

#include <algorithm>
#include <set>

#include "core/adapt/storage.hpp"
#include "core/base/error.hpp"
#include "core/tensor/expand.hpp"
#include "core/tensor/safetensors.hpp"

namespace graft::core {
namespace {

constexpr const char* kPrefix = "base_model.model.";
constexpr const char* kBaseLayer = ".base_layer.";
constexpr const char* kWeights = "adapter_model.safetensors";
constexpr const char* kBeside = "graft_parameters.safetensors";
constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kNotes = "graft.json";

/// A parameter's or stored tensor's name in the file.
template <class Named>
std::string key_of(const Named& tensor) {
  return tensor.key.empty() ? kPrefix + tensor.name : tensor.key;
}

/// PEFT writes untouched copies of targeted embeddings beside the adapter.
bool is_base_copy(const std::string& key) {
  return key.ends_with(".base_layer.weight");
}

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);  // the end where `object` is none
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
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
  std::vector<SafetensorsItem> items, beside;
  for (const StoredTensor& t : tensors) {
    const auto write = [&t](const Sink& sink) {
      const std::vector<float> values = t.values();
      sink(values.data(), values.size() * sizeof(float));
    };
    (t.beside ? beside : items).push_back({key_of(t), GRAFT_F32, t.dims, write});
  }
  if (!beside.empty()) write_safetensors(folder / kBeside, std::move(beside), {{"format", "pt"}});
  write_safetensors(folder / kWeights, std::move(items), {{"format", "pt"}});
  Json notes = {{"format", 1},
                {"method", entry.api.name},
                {"name", entry.name},
                {"options", entry.options},
                {"host", entry.host},
                {"base", {{"path", origin.base_path}, {"fingerprint", origin.base_fingerprint}}},
                {"template_hash", origin.template_hash}};
  if (!origin.quantization.is_null()) notes["base"]["quantization"] = origin.quantization;
  write_file_atomically(folder / kNotes, notes.dump(2) + "\n");
  if (entry.api.storage) {
    const Json config =
        to_peft(entry.api, entry.options, entry.host, origin.base_path, attached, origin.facts);
    write_file_atomically(folder / kConfig, config.dump(2) + "\n");
  }
}

namespace {

std::vector<float> read_tensor(const Safetensors& file, const fs::path& path,
                               const std::string& key, const std::vector<std::int64_t>& dims) {
  if (!file.has(key)) {
    throw Error(GRAFT_E_INVALID,
                cat("'", path.string(), "' has no tensor '", key, "', which adapter_config.json ",
                    "and the base model ask for. Is it an adapter for another base?"));
  }
  const HostTensor tensor = file.tensor(key);
  if (tensor.shape != dims) {
    throw Error(GRAFT_E_INVALID,
                cat("'", path.string(), "': tensor '", key, "' is ", shape_text(tensor.shape),
                    ", but adapter_config.json and the base model need ", shape_text(dims),
                    ". Is it an adapter for another base?"));
  }
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  expand(tensor, GRAFT_F32, values.data(), 1);
  return values;
}

/// Reads the parameters marked `wanted` of an entry into `values`; `extra` may be in the file too.
void read_parameters(const fs::path& path, const std::vector<Parameter>& parameters,
                     const std::vector<bool>& wanted, const Json& extra,
                     std::vector<std::vector<float>>& values) {
  const Safetensors file = Safetensors::open(path);
  std::set<std::string> used;
  const auto may_be_there = [&](const std::string& key) {
    return std::any_of(extra.begin(), extra.end(), [&](const Json& name) {
      const std::string_view text = name.get_ref<const std::string&>();
      return text.starts_with("..") ? key.ends_with(text.substr(1)) : key == text;
    });
  };
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    if (!wanted[i]) continue;
    std::string key = key_of(p);
    const std::size_t infix = key.find(kBaseLayer);
    if (infix != std::string::npos && !file.has(key)) {  // PEFT to 0.5 had none
      key.erase(infix, std::string_view(kBaseLayer).size() - 1);
    }
    values[i] = read_tensor(file, path, key, p.stored_dims());
    if (p.transposed) values[i] = transposed(values[i], p.dims[1]);
    used.insert(key);
  }
  for (const std::string& key : file.names()) {
    if (used.count(key) > 0 || is_base_copy(key) || may_be_there(key)) continue;
    if (file.tensor(key).elements() == 0) continue;  // of a module that has lost all of its ranks
    throw Error(
        GRAFT_E_INVALID,
        cat("'", path.string(), "': tensor '", key, "' belongs to no module that ",
            "adapter_config.json targets in this model. Is it an adapter for another base?"));
  }
}

}  // namespace

std::vector<std::vector<float>> load_adapter(const fs::path& folder,
                                             const std::vector<Parameter>& parameters,
                                             std::size_t entry, const Json& may_be_there) {
  std::vector<std::vector<float>> values(parameters.size());
  std::vector<bool> inside(parameters.size()), beside(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    if (p.entry != entry || (p.flags & GRAFT_PARAM_NOSAVE) != 0) continue;
    ((p.flags & GRAFT_PARAM_BESIDE) != 0 ? beside : inside)[i] = true;
  }
  const fs::path pickled = folder / "adapter_model.bin";
  if (!fs::exists(folder / kWeights) && fs::exists(pickled)) {
    throw Error(GRAFT_E_INVALID,
                cat("'", pickled.string(), "' is a pickle, which is not read. Save ",
                    "the adapter as ", kWeights, " (PEFT: safe_serialization)."));
  }
  read_parameters(folder / kWeights, parameters, inside, may_be_there, values);
  if (std::find(beside.begin(), beside.end(), true) != beside.end()) {
    read_parameters(folder / kBeside, parameters, beside, Json::array(), values);
  }
  return values;
}

std::vector<float> adapter_tensor(const fs::path& folder, const std::string& name,
                                  const std::vector<std::int64_t>& dims) {
  const fs::path path = folder / kWeights;
  return read_tensor(Safetensors::open(path), path, kPrefix + name, dims);
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
