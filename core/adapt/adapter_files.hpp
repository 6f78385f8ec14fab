// Adapters as folders of PEFT or of the adapters library: a configuration, a file of tensors, and
// graft.json for what those have no place for.
#pragma once
#include <string>
#include <vector>

#include "core/adapt/attach.hpp"
#include "core/base/file.hpp"

namespace graft::core {

/// What an adapter was trained on, for graft.json.
struct Origin {
  std::string base_path, base_fingerprint, template_hash;
  Json quantization = nullptr;  ///< how the base was quantized while it was loaded; null: not
  Json facts = Json::object();  ///< of the base model: type, hidden, layers, heads, ..
};

/// A trained tensor to write: its name without PEFT's prefix, extents, and its f32 values, which are
/// asked for when they are written, so that one tensor at a time is in memory twice.
struct StoredTensor {
  std::string name;
  std::vector<std::int64_t> dims;
  std::function<std::vector<float>()> values;
  std::string key;      ///< the whole name, where that is not the prefix and `name`
  bool beside = false;  ///< goes to the file that PEFT does not know
};

/// Writes the folder (made if it is not there): the weights first, the configuration last, each file
/// whole or not at all. `attached` are the names of the entry's sites.
void save_adapter(const fs::path& folder, const MethodEntry& entry,
                  const std::vector<StoredTensor>& tensors, const Origin& origin,
                  const std::vector<std::string>& attached);

/// The configuration file of a folder: adapter_config.json, or that of an AdapterFusion; an empty
/// path where there is neither.
fs::path adapter_config_path(const fs::path& folder);

/// The file with the tensors of a folder, also where there is none.
fs::path adapter_weights_path(const fs::path& folder);

/// What an adapter of the adapters library is called, as in the keys of its tensors.
std::string adapter_name(const fs::path& folder);

/// The values of the parameters of entry number `index` from a folder; by parameter, empty for those
/// of other entries and those that are not saved. Throws GRAFT_E_INVALID naming the tensor that is
/// missing, has another shape, or belongs to no parameter.
std::vector<std::vector<float>> load_adapter(const fs::path& folder,
                                             const std::vector<Parameter>& parameters,
                                             std::size_t index, const MethodEntry& entry);

/// A tensor of an adapter, by its name without PEFT's prefix.
std::vector<float> adapter_tensor(const fs::path& folder, const std::string& name,
                                  const std::vector<std::int64_t>& dims);

/// Whether the folder has the file of parameters that PEFT's has no place for.
bool has_parameters_beside(const fs::path& folder);

/// graft.json of a folder; null where there is none.
Json adapter_notes(const fs::path& folder);

/// Warns in the log when the folder says that it was trained on another base or template.
void compare_origin(const fs::path& folder, const Origin& now, const Log& log);

}  // namespace graft::core
