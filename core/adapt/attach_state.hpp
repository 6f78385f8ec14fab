// What AdapterSet and AdapterRecording share: the attached sites as plugins see them.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/adapt/attach.hpp"
#include "core/adapt/storage.hpp"
#include "core/base/error.hpp"
#include "core/plugin/host_config.hpp"

namespace graft::core {

/// What a plugin sees as a graft_site.
struct CSite {
  graft_site base;  // first: the plugin's pointer is this one
  AdapterSet::State* set = nullptr;
  std::size_t entry = 0, site = 0;
  std::unique_ptr<HostConfig> config;
  std::int64_t virtual_rows = 0;
};

struct Attachment {
  std::size_t entry = 0;
  std::deque<CSite>::iterator site;
  void* state = nullptr;
};

struct AdapterSet::State {
  std::vector<SiteInfo> sites;
  std::vector<MethodEntry> entries;
  std::vector<Parameter> parameters;
  std::unique_ptr<HostTable> host;
  std::vector<std::unique_ptr<HostConfig>> configs;  // by entry
  std::vector<graft_method*> methods;                // by entry
  std::vector<std::optional<Storage>> storages;      // by entry
  std::deque<CSite> c_sites;
  std::vector<Attachment> attachments;
  std::vector<std::vector<std::size_t>> at_site;  // attachments of each site, innermost first
  std::vector<BaseTensor> tensors;                // of the base model
  std::map<std::pair<std::size_t, std::string>, std::size_t>
      base_tensors;  // entry, name: parameter

  InputPass input_pass;  // none where there is no data

  VirtualTokens virtual_tokens;  // of all entries
  std::string who(std::size_t entry) const {
    return cat("methods[", entry, "] (", entries[entry].api.name, ")");
  }
  graft_tensor* add_parameter(Parameter p);
  void attach(std::size_t entry);
  /// Lets the method see what goes into the sites that it has matched, if it asks for that.
  void observe(std::size_t entry, const std::vector<graft_site*>& matched);
  /// Throws where not all layers have as many.
  VirtualTokens count_virtual_tokens(const std::vector<bool>& active) const;
  void save_modules(std::size_t entry);
  /// The base tensor of that name, or nullptr.
  const BaseTensor* tensor(const std::string& name) const;
  /// Adds a parameter that stands in for the base tensor `p.base`.
  graft_tensor* replace(Parameter p);
  void release();
};

}  // namespace graft::core
