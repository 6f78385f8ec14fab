// How a method's options stand in PEFT's adapter_config.json: graft_method_api::storage.
#pragma once
#include <graft/plugin.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.hpp"

namespace graft::core {

/// The parsed storage text of a method.
///   fields:    option -> key of PEFT, or {"key", "missing": value of an absent key,
///              "values": {our value: [theirs, ..]}} (the first of theirs is written)
///   constants: keys that have one supported value, which is written; any other is refused
///   ignored:   keys that do not change the numbers
///   host:      those of the host's options that the format has a key for
///   tensors:   parameter -> its whole key in the file
///   model:     key of PEFT -> what it tells of the base model
///   computed:  tensors of the file that the method makes from its parameters
///   beside:    options where the folder lacks the parameters that are kept beside PEFT's file
/// With a layout other than "peft" the files are those of the adapters library:
///   layout:    "adapters" (an adapter) or "fusion" (an AdapterFusion)
///   places:    option (a boolean) -> end of the names of the sites that it adds to each layer
///   copies:    [part of a parameter's name, what stands for it in a second key]: written twice
///   flexible:  option (a boolean) that holds in a model of the library's with heads of its own
struct Storage {
  std::string layout = "peft";
  std::string peft_type;
  Json fields = Json::object(), constants = Json::object(), ignored = Json::array(),
       host = Json::array({"targets", "exclude", "layers", "modules_to_save"}),
       tensors = Json::object(), model = Json::object(), computed = Json::array(), beside,
       places = Json::object(), copies = Json::array();
  std::string flexible;
  bool of_peft() const { return layout == "peft"; }
  bool has_host(const std::string& option) const;
};

/// nullopt for a method that is stored natively only.
std::optional<Storage> storage_of(const graft_method_api& api);

/// How many of the method's constants the configuration contradicts: of several methods with one
/// peft_type that with the fewest is meant.
std::size_t contradictions(const Storage& storage, const Json& config);

/// PEFT's name of each option that has one: the method's fields, and the host's (targets:
/// target_modules, ..). Accepted in RUN.json instead of ours.
std::map<std::string, std::string> aliases_of(const graft_method_api& api);

/// Replaces PEFT's names by ours. Both at once are an error.
Json without_aliases(const Json& entry, const std::map<std::string, std::string>& aliases,
                     std::string_view who);

/// adapter_config.json for the options (the plugin's and the host's, all defaults filled in).
/// `attached` are the names of the sites: they stand in for targets that PEFT cannot express, which
/// are a text together with layers, and layers without an end.
Json to_peft(const graft_method_api& api, const Json& options, const Json& host,
             const std::string& base_model, const std::vector<std::string>& attached,
             const Json& facts = Json::object());

/// The options that a PEFT configuration means: first the plugin's, then the host's. Throws
/// GRAFT_E_INVALID naming a key whose value graft does not support, or that it does not know.
std::pair<Json, Json> from_peft(const graft_method_api& api, const Json& config,
                                std::string_view who);

}  // namespace graft::core
