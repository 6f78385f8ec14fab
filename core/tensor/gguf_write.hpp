// Writes GGUF files, version 3.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.hpp"
#include "core/tensor/gguf.hpp"

namespace graft::core {

class GgufWriter {
 public:
  // Metadata, in the order of the calls. A key that is there already throws GRAFT_E_INTERNAL.
  void add(std::string_view key, std::uint32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, std::span<const float> values);
  void add(std::string_view key, std::span<const std::int32_t> values);
  /// As it is in a file.
  void add(const std::string& key, const Gguf::Value& value);
  bool has(std::string_view key) const;

  /// `type` is ggml's number, `shape` row-major; `write` puts exactly the tensor's bytes into the sink.
  void add_tensor(const std::string& name, std::uint32_t type, std::vector<std::int64_t> shape,
                  std::function<void(const Sink&)> write);

  /// Writes the file whole or not at all, tensors in the order of the calls.
  void write(const fs::path& path) const;

 private:
  struct Tensor {
    std::string name;
    std::uint32_t type = 0;
    std::vector<std::int64_t> shape;
    std::uint64_t size = 0;
    std::function<void(const Sink&)> write;
  };
  void begin(std::string_view key, GgufType type);
  void begin_array(std::string_view key, GgufType element, std::size_t count);

  std::vector<std::string> keys_;
  std::string values_;
  std::vector<Tensor> tensors_;
};

/// ggml's number of a type by its name: "f32", "f16", "bf16" or a format of block_formats.hpp.
std::uint32_t ggml_type(std::string_view name);
/// Bytes of a row of so many elements. Throws GRAFT_E_INVALID where the type's blocks do not divide
/// it; `who` names the tensor.
std::uint64_t ggml_row_bytes(std::uint32_t type, std::int64_t columns, std::string_view who);

}  // namespace graft::core
