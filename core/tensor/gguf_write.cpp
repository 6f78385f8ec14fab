#include "core/tensor/gguf_write.hpp"

#include <algorithm>
#include <array>

#include "core/base/error.hpp"
#include "core/tensor/block_formats.hpp"

namespace graft::core {
namespace {

constexpr std::uint64_t alignment = 32;
constexpr std::size_t longest_name = 63;

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append(out, static_cast<std::uint64_t>(text.size()));
  out += text;
}

std::uint64_t padding(std::uint64_t size) {
  return (alignment - size % alignment) % alignment;
}

void put_padding(const Sink& sink, std::uint64_t size) {
  constexpr std::array<char, alignment> zeros{};
  sink(zeros.data(), padding(size));
}

}  // namespace

std::uint32_t ggml_type(std::string_view name) {
  if (name == "f32") return 0;
  if (name == "f16") return 1;
  if (name == "bf16") return 30;
  return block_format(name).ggml_type;
}

std::uint64_t ggml_row_bytes(std::uint32_t type, std::int64_t columns, std::string_view who) {
  if (type == 0) return 4 * static_cast<std::uint64_t>(columns);
  if (type == 1 || type == 30) return 2 * static_cast<std::uint64_t>(columns);
  const BlockFormat& format = block_format(ggml_type_name(type));
  if (columns % format.elements != 0) {
    throw Error(GRAFT_E_INVALID,
                cat("tensor '", who, "' has rows of ", columns, " elements, no whole number of ",
                    format.name, " blocks of ", format.elements, "."));
  }
  return static_cast<std::uint64_t>(columns / format.elements * format.bytes);
}

bool GgufWriter::has(std::string_view key) const {
  return std::find(keys_.begin(), keys_.end(), key) != keys_.end();
}

void GgufWriter::begin(std::string_view key, GgufType type) {
  if (has(key)) throw Error(GRAFT_E_INTERNAL, cat("GGUF: the key '", key, "' is set twice."));
  keys_.emplace_back(key);
  append_text(values_, key);
  append(values_, static_cast<std::uint32_t>(type));
}

void GgufWriter::begin_array(std::string_view key, GgufType element, std::size_t count) {
  begin(key, GgufType::array);
  append(values_, static_cast<std::uint32_t>(element));
  append(values_, static_cast<std::uint64_t>(count));
}

void GgufWriter::add(std::string_view key, std::uint32_t value) {
  begin(key, GgufType::u32);
  append(values_, value);
}

void GgufWriter::add(std::string_view key, float value) {
  begin(key, GgufType::f32);
  append(values_, value);
}

void GgufWriter::add(std::string_view key, bool value) {
  begin(key, GgufType::boolean);
  values_ += value ? '\1' : '\0';
}

void GgufWriter::add(std::string_view key, std::string_view value) {
  begin(key, GgufType::text);
  append_text(values_, value);
}

void GgufWriter::add(std::string_view key, std::span<const std::string> values) {
  begin_array(key, GgufType::text, values.size());
  for (const std::string& value : values) append_text(values_, value);
}

void GgufWriter::add(std::string_view key, std::span<const float> values) {
  begin_array(key, GgufType::f32, values.size());
  for (const float value : values) append(values_, value);
}

void GgufWriter::add(std::string_view key, std::span<const std::int32_t> values) {
  begin_array(key, GgufType::i32, values.size());
  for (const std::int32_t value : values) append(values_, value);
}

void GgufWriter::add(const std::string& key, const Gguf::Value& value) {
  if (value.type == GgufType::array) {
    begin_array(key, value.element, value.count);
  } else {
    begin(key, value.type);
  }
  if (value.type == GgufType::text) append(values_, static_cast<std::uint64_t>(value.bytes.size()));
  values_ += value.bytes;
}

void GgufWriter::add_tensor(const std::string& name, std::uint32_t type,
                            std::vector<std::int64_t> shape,
                            std::function<void(const Sink&)> write) {
  if (name.empty() || name.size() > longest_name) {
    throw Error(GRAFT_E_INVALID, cat("GGUF: a tensor's name has 1 to ", longest_name,
                                     " bytes, which '", name, "' has not."));
  }
  std::uint64_t rows = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= static_cast<std::uint64_t>(shape[i]);
  const std::uint64_t row = ggml_row_bytes(type, shape.empty() ? 1 : shape.back(), name);
  tensors_.push_back({name, type, std::move(shape), rows * row, std::move(write)});
}

void GgufWriter::write(const fs::path& path) const {
  std::string head = "GGUF";
  append(head, std::uint32_t{3});
  append(head, static_cast<std::uint64_t>(tensors_.size()));
  append(head, static_cast<std::uint64_t>(keys_.size()));
  head += values_;
  std::uint64_t at = 0;
  for (const Tensor& tensor : tensors_) {
    append_text(head, tensor.name);
    append(head, static_cast<std::uint32_t>(tensor.shape.size()));
    for (std::size_t i = tensor.shape.size(); i-- > 0;) append(head, tensor.shape[i]);
    append(head, tensor.type);
    append(head, at);
    at += tensor.size + padding(tensor.size);
  }
  write_file_atomically(path, [&](const Sink& sink) {
    sink(head.data(), head.size());
    put_padding(sink, head.size());
    for (const Tensor& tensor : tensors_) {
      std::uint64_t written = 0;
      tensor.write([&](const void* data, std::size_t size) {
        written += size;
        sink(data, size);
      });
      if (written != tensor.size) {
        throw Error(GRAFT_E_INTERNAL, cat("GGUF: tensor '", tensor.name, "' gave ", written,
                                          " bytes instead of ", tensor.size, "."));
      }
      put_padding(sink, tensor.size);
    }
  });
}

}  // namespace graft::core
