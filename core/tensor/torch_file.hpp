// Files of torch.save that hold a dict of tensors ("pytorch_model.bin"): a zip of a pickle and the
// tensors' bytes. Reading them executes nothing. And a writer of such files.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor/host_tensor.hpp"
#include "core/tensor/safetensors.hpp"
#include "core/tensor/zip_file.hpp"

namespace graft::core {

/// A file whose directory and pickle have passed every check. Copies share the mapping.
class TorchFile {
 public:
  /// Throws GRAFT_E_INVALID naming the file and what is wrong where.
  static TorchFile open(const fs::path& path);
  static TorchFile parse(const MappedFile& file);

  /// In the order of the dict.
  const std::vector<std::string>& names() const { return names_; }
  bool has(std::string_view name) const { return entries_.count(name) != 0; }
  /// A view of the mapping, or a copy where the tensor does not lie in order. Throws where its bytes
  /// are damaged, and where graft has no such element type.
  HostTensor tensor(std::string_view name) const;
  const std::vector<std::int64_t>& shape(std::string_view name) const;
  /// "F32", .. as safetensors calls it.
  std::string_view type(std::string_view name) const;
  const fs::path& path() const { return file_.path(); }

 private:
  struct Tensor {
    std::string entry;  ///< of the zip
    std::string_view type;
    std::int64_t offset = 0;
    std::vector<std::int64_t> shape, strides;
  };
  const Tensor& entry(std::string_view name) const;

  MappedFile file_;
  ZipFile zip_;
  std::vector<std::string> names_;
  std::map<std::string, Tensor, std::less<>> entries_;
};

/// Writes the tensors as torch.save writes a dict of them, whole or not at all. F32 alone.
void write_torch_file(const fs::path& path, const std::vector<SafetensorsItem>& items);

}  // namespace graft::core
