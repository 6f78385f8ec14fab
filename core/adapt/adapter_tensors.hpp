// The file of an adapter's tensors: safetensors, or what torch.save writes.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "core/tensor/safetensors.hpp"
#include "core/tensor/torch_file.hpp"

namespace graft::core {

class AdapterTensors {
 public:
  /// What a key of the file is called here; empty: as it is.
  using Rename = std::function<std::string(std::string)>;
  /// The first of the two paths that is there. Throws GRAFT_E_NOT_FOUND naming both, or what the
  /// readers throw.
  static AdapterTensors open(const fs::path& safe, const fs::path& pickled, const Rename& rename);

  /// In the order of the file.
  const std::vector<std::string>& names() const { return names_; }
  bool has(const std::string& name) const { return in_file_.count(name) > 0; }
  HostTensor tensor(const std::string& name) const;
  /// Whether it has no elements.
  bool empty(const std::string& name) const;
  const fs::path& path() const;

 private:
  explicit AdapterTensors(std::variant<Safetensors, TorchFile> file, const Rename& rename);

  std::variant<Safetensors, TorchFile> file_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> in_file_;
};

}  // namespace graft::core
