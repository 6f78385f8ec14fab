// Adapters as the `adapters` library (AdapterHub) stores them: the names of files and tensors, and its
// configuration. What a method's switches are called there, its storage tells.
#pragma once
#include <string>
#include <vector>

#include "core/adapt/adapter_files.hpp"
#include "core/adapt/storage.hpp"

namespace graft::core {

/// Whether an adapter_config.json is the library's and not PEFT's.
bool is_library_config(const Json& config);

/// The key of a parameter, by its name without PEFT's prefix ("model.layers.0.mlp.residual.scaling"):
/// in the place of the adapter's name stands "{name}".
std::string library_key(const std::string& layout, const std::string& parameter);

/// The key for an adapter of that name.
std::string with_name(std::string key, const std::string& name);

/// The key of a file as it is called today, with the prefix of the base model (`prefix`: "model.").
std::string todays_key(std::string key, const std::string& prefix);

/// The adapter's name in the library, where it is a part of keys.
std::string library_name(const MethodEntry& entry);

/// Why the library could not load what this entry is attached to; "" if it can.
std::string library_refusal(const MethodEntry& entry, const Json& facts,
                            const std::vector<std::string>& attached);

/// The configuration file of an entry that the library can load.
Json to_library(const MethodEntry& entry, const Origin& origin,
                const std::vector<std::string>& attached);

/// The plugin's options in the library's configuration. Throws GRAFT_E_INVALID naming a key whose
/// value graft does not support, or that it does not know.
Json from_library(const graft_method_api& api, const Json& config, std::string_view who);

}  // namespace graft::core
