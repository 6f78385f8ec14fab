#include "core/adapt/adapter_tensors.hpp"

#include <algorithm>

#include "core/base/error.hpp"

namespace graft::core {

AdapterTensors AdapterTensors::open(const fs::path& safe, const fs::path& pickled,
                                    const Rename& rename) {
  if (!pickled.empty() && !fs::exists(safe)) {
    if (fs::exists(pickled)) return AdapterTensors(TorchFile::open(pickled), rename);
    throw Error(GRAFT_E_NOT_FOUND,
                cat("'", safe.parent_path().string(), "' has neither '", safe.filename().string(),
                    "' nor '", pickled.filename().string(), "'."));
  }
  return AdapterTensors(Safetensors::open(safe), rename);
}

AdapterTensors::AdapterTensors(std::variant<Safetensors, TorchFile> file, const Rename& rename)
    : file_(std::move(file)) {
  const auto& names = std::visit(
      [](const auto& f) -> const auto& { return f.names(); }, file_);
  for (const std::string& name : names) {
    const std::string ours = rename ? rename(name) : name;
    if (!in_file_.emplace(ours, name).second) {
      throw Error(GRAFT_E_INVALID,
                  cat("'", path().string(), "' has the tensor '", ours, "' under two names."));
    }
    names_.push_back(ours);
  }
}

HostTensor AdapterTensors::tensor(const std::string& name) const {
  return std::visit([&](const auto& f) { return f.tensor(in_file_.at(name)); }, file_);
}

bool AdapterTensors::empty(const std::string& name) const {
  const auto& shape = std::visit(
      [&](const auto& f) -> const auto& { return f.shape(in_file_.at(name)); }, file_);
  return std::find(shape.begin(), shape.end(), 0) != shape.end();
}

const fs::path& AdapterTensors::path() const {
  return std::visit(
      [](const auto& f) -> const auto& { return f.path(); }, file_);
}

}  // namespace graft::core
