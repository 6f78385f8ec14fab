// The GGUF file format, versions 2 and 3, little endian: a checked reader over a mapping.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.hpp"
#include "core/tensor/host_tensor.hpp"

namespace graft::core {

enum class GgufType : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  text,
  array,
  u64,
  i64,
  f64
};

/// A file that has passed every check: counts, lengths, types, sizes, offsets. Values and tensors
/// are views of the mapping, which copies of this object share; a text lives as long as one of them.
class Gguf {
 public:
  /// Throws GRAFT_E_INVALID naming the file and, where it is about one, the key or tensor.
  static Gguf open(const fs::path& path);
  static Gguf parse(const MappedFile& file);

  struct Value {
    GgufType type = GgufType::u8;
    GgufType element = GgufType::u8;  // of an array
    std::uint64_t count = 1;          // elements of an array
    std::string_view bytes;           // without lengths for a text; with them for an array of texts
  };
  struct Tensor {
    std::string name;
    std::uint32_t type = 0;             // ggml's number
    std::vector<std::int64_t> shape;    // row-major: the reverse of the file's order
    std::uint64_t begin = 0, size = 0;  // bytes from the start of the file
  };

  /// Keys in the order of the file.
  const std::vector<std::string>& keys() const { return keys_; }
  const Value* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // Values by type. The first form throws where the key is missing, both where the value is of
  // another kind; integers of every width are one kind, and so are floats.
  std::int64_t integer(std::string_view key) const;
  std::int64_t integer(std::string_view key, std::int64_t otherwise) const;
  double number(std::string_view key) const;  // floats and integers
  double number(std::string_view key, double otherwise) const;
  bool flag(std::string_view key, bool otherwise) const;
  std::string_view text(std::string_view key) const;
  std::string_view text(std::string_view key, std::string_view otherwise) const;

  // Arrays; a missing key throws.
  std::vector<std::string_view> texts(std::string_view key) const;
  std::vector<std::int64_t> integers(std::string_view key) const;
  std::vector<float> floats(std::string_view key) const;

  /// Tensors in the order of the file.
  const std::vector<Tensor>& tensors() const { return tensors_; }
  bool has_tensor(std::string_view name) const { return by_name_.count(name) != 0; }
  const Tensor& tensor_info(std::string_view name) const;
  /// A view of the mapping under its GGUF name.
  HostTensor tensor(std::string_view name) const;

  std::uint32_t version() const { return version_; }
  const fs::path& path() const { return file_.path(); }
  /// See MappedFile.
  void forget() const { file_.forget(); }

 private:
  friend class GgufParser;
  const Value& require(std::string_view key) const;
  [[noreturn]] void wrong_type(std::string_view key, const Value& value,
                               std::string_view wanted) const;

  MappedFile file_;
  std::uint32_t version_ = 0;
  std::vector<std::string> keys_;
  std::map<std::string, Value, std::less<>> values_;
  std::vector<Tensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
};

/// "f32", "q4_1", ...; of a type that graft does not read its name or number.
std::string ggml_type_name(std::uint32_t type);

}  // namespace graft::core
