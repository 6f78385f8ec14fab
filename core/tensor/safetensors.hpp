// The safetensors file format: a checked reader over a mapping, and a writer.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/file.hpp"
#include "core/tensor/host_tensor.hpp"

namespace graft::core {

/// A file that has passed every check of the format: header, types, sizes, no hole, no overlap.
/// Copies share the mapping.
class Safetensors {
 public:
  /// Throws GRAFT_E_INVALID naming the file and, where it is about one, the tensor.
  static Safetensors open(const fs::path& path);
  static Safetensors parse(const MappedFile& file);

  /// Names in the order of the header.
  const std::vector<std::string>& names() const { return names_; }
  bool has(std::string_view name) const { return entries_.count(name) != 0; }
  const std::vector<std::int64_t>& shape(std::string_view name) const;
  /// "F32", "BF16", ... as in the header, also for types that tensor() refuses.
  std::string_view type(std::string_view name) const;
  /// A view of the mapping. Throws where graft has no such element type (F8_E4M3, BOOL, ...).
  HostTensor tensor(std::string_view name) const;

  /// The "__metadata__" object, in its order.
  using Metadata = std::vector<std::pair<std::string, std::string>>;
  const Metadata& metadata() const { return metadata_; }
  const fs::path& path() const { return file_.path(); }
  /// See MappedFile.
  void forget() const { file_.forget(); }

 private:
  struct Entry {
    std::string_view type;
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0, end = 0;
  };
  const Entry& entry(std::string_view name) const;

  MappedFile file_;
  std::uint64_t data_start_ = 0;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<std::string> names_;
  Metadata metadata_;
};

/// One tensor to write: `write` puts exactly its bytes into the sink. For a plain tensor in memory
/// use the HostTensor overload of write_safetensors.
struct SafetensorsItem {
  std::string name;
  std::uint32_t dtype = GRAFT_F32;
  std::vector<std::int64_t> shape;
  std::function<void(const Sink&)> write;
};

/// Writes the file whole or not at all, tensors in the order and header bytes that the
/// `safetensors` package of Python gives for the same content.
void write_safetensors(const fs::path& path, std::vector<SafetensorsItem> items,
                       const Safetensors::Metadata& metadata);

/// The same for tensors in memory, which must be plain().
void write_safetensors(const fs::path& path, std::span<const HostTensor> tensors,
                       const Safetensors::Metadata& metadata);

}  // namespace graft::core
