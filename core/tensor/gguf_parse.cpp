#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "core/base/error.hpp"
#include "core/tensor/block_formats.hpp"
#include "core/tensor/gguf.hpp"

namespace graft::core {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::uint64_t max_text = std::uint64_t{1} << 30, max_array = std::uint64_t{1} << 30;
constexpr std::uint64_t max_alignment = std::uint64_t{1} << 20;
constexpr std::size_t max_tensor_name = 64;
constexpr std::uint32_t max_rank = 4;

constexpr std::array<std::uint64_t, 13> value_size = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct Layout {
  std::int64_t elements, bytes;  // of a block
};

std::optional<Layout> layout_of(std::uint32_t type) {
  switch (type) {
    case 0:   // f32
    case 26:  // i32
      return Layout{1, 4};
    case 1:   // f16
    case 30:  // bf16
      return Layout{1, 2};
    case 24:  // i8
      return Layout{1, 1};
    case 27:  // i64
    case 28:  // f64
      return Layout{1, 8};
    default:
      for (const BlockFormat& format : block_formats()) {
        if (format.ggml_type == type) return Layout{format.elements, format.bytes};
      }
      return std::nullopt;
  }
}

}  // namespace

// Reads the file from front to back; `at_` never passes its end.
class GgufParser {
 public:
  explicit GgufParser(const MappedFile& file) : file_(file), text_(file.text()) {}

  Gguf run() {
    if (text_.substr(0, 4) != "GGUF") refuse("it does not begin with 'GGUF'.");
    at_ = 4;
    const auto version = read<std::uint32_t>("the version");
    if ((version & 0xffff) == 0) refuse("it is big-endian, which is not supported.");
    if (version != 2 && version != 3) {
      throw Error(GRAFT_E_VERSION, cat(who(), "it has version ", version, "; 2 and 3 are read."));
    }
    const auto tensors = read<std::uint64_t>("the number of tensors");
    const auto values = read<std::uint64_t>("the number of values");
    // The shortest entries: an empty name, no dimension, type, offset; a one-byte key, type, value.
    require_count(tensors, 24, "tensors");
    require_count(values, 14, "values");
    Gguf result;
    result.file_ = file_;
    result.version_ = version;
    for (std::uint64_t i = 0; i < values; ++i) read_value(result);
    for (std::uint64_t i = 0; i < tensors; ++i) read_tensor(result);
    place_tensors(result);
    return result;
  }

 private:
  std::string who() const { return cat("GGUF file '", file_.path().string(), "': "); }

  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... what) const {
    throw Error(GRAFT_E_INVALID, cat(who(), what...));
  }

  std::string_view take(std::uint64_t size, std::string_view what) {
    if (size > text_.size() - at_) {
      refuse("it ends within ", what, ": ", size, " bytes wanted at byte ", at_, ", ",
             text_.size() - at_, " left. It is cut off or damaged.");
    }
    const std::string_view bytes = text_.substr(at_, size);
    at_ += size;
    return bytes;
  }

  template <class T>
  T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof value);
    return value;
  }

  std::string_view read_text(std::string_view what) {
    const auto size = read<std::uint64_t>(what);
    if (size > max_text) refuse(what, " has a length of ", size, " bytes: the file is damaged.");
    return take(size, what);
  }

  void require_count(std::uint64_t count, std::uint64_t least_size, std::string_view what) const {
    if (count > (text_.size() - at_) / least_size) {
      refuse("it says it has ", count, " ", what, ", more than fit in ", text_.size(),
             " bytes. It is cut off or damaged.");
    }
  }

  void read_value(Gguf& result) {
    const std::string key(read_text("a key"));
    if (key.empty()) refuse("it has an empty key.");
    const std::string what = cat("the value of '", key.substr(0, 200), "'");
    Gguf::Value value;
    value.type = read_type(what);
    if (value.type == GgufType::array) {
      value.element = read_type(what);
      value.count = read<std::uint64_t>(what);
      if (value.count > max_array) refuse(what, " has ", value.count, " elements: too many.");
      if (value.element == GgufType::array) refuse(what, " is an array of arrays.");
      const std::size_t begin = at_;
      if (value.element == GgufType::text) {
        require_count(value.count, 8, cat("texts in ", what));
        for (std::uint64_t i = 0; i < value.count; ++i) read_text(what);
      } else {
        take(value.count * value_size[static_cast<std::size_t>(value.element)], what);
      }
      value.bytes = text_.substr(begin, at_ - begin);
    } else if (value.type == GgufType::text) {
      value.bytes = read_text(what);
    } else {
      value.bytes = take(value_size[static_cast<std::size_t>(value.type)], what);
    }
    if (value.type == GgufType::boolean && value.bytes[0] != 0 && value.bytes[0] != 1) {
      refuse(what, " is a boolean that is neither 0 nor 1.");
    }
    if (!result.values_.emplace(key, value).second) refuse("the key '", key, "' occurs twice.");
    result.keys_.push_back(key);
  }

  GgufType read_type(const std::string& what) {
    const auto type = read<std::uint32_t>(what);
    if (type >= value_size.size()) refuse(what, " has the unknown type ", type, ".");
    return static_cast<GgufType>(type);
  }

  void read_tensor(Gguf& result) {
    Gguf::Tensor tensor;
    tensor.name = read_text("a tensor's name");
    if (tensor.name.size() >= max_tensor_name) {
      refuse("the tensor name '", tensor.name.substr(0, max_tensor_name), "' is too long.");
    }
    const std::string what = cat("the description of tensor '", tensor.name, "'");
    const auto rank = read<std::uint32_t>(what);
    if (rank > max_rank) refuse("tensor '", tensor.name, "' has ", rank, " dimensions, at most 4.");
    std::int64_t elements = 1;  // of the extents that are not 0
    bool empty = false;
    tensor.shape.resize(rank);
    for (std::uint32_t i = 0; i < rank; ++i) {
      const auto extent = static_cast<std::int64_t>(read<std::uint64_t>(what));
      empty = empty || extent == 0;
      if (extent < 0 || __builtin_mul_overflow(elements, extent == 0 ? 1 : extent, &elements)) {
        refuse("tensor '", tensor.name, "' has impossible dimensions.");
      }
      tensor.shape[rank - 1 - i] = extent;
    }
    tensor.type = read<std::uint32_t>(what);
    tensor.begin = read<std::uint64_t>(what);
    const auto layout = layout_of(tensor.type);
    if (!layout) {
      throw Error(GRAFT_UNSUPPORTED,
                  cat(who(), "tensor '", tensor.name, "' has the type ",
                      ggml_type_name(tensor.type), ", which graft does not read."));
    }
    const std::int64_t columns = tensor.shape.empty() ? 1 : tensor.shape.back();
    if (columns % layout->elements != 0) {
      refuse("tensor '", tensor.name, "' has rows of ", columns, " elements, no whole number of ",
             ggml_type_name(tensor.type), " blocks of ", layout->elements, ".");
    }
    std::int64_t size = 0;
    if (__builtin_mul_overflow(elements / layout->elements, layout->bytes, &size)) {
      refuse("tensor '", tensor.name, "' is too large.");
    }
    tensor.size = empty ? 0 : static_cast<std::uint64_t>(size);
    if (!result.by_name_.emplace(tensor.name, result.tensors_.size()).second) {
      refuse("the tensor '", tensor.name, "' occurs twice.");
    }
    result.tensors_.push_back(std::move(tensor));
  }

  // Tensors must follow one another in the order of their descriptions, each padded.
  void place_tensors(Gguf& result) {
    std::uint64_t alignment = 32;
    if (const Gguf::Value* value = result.find("general.alignment")) {
      if (value->type != GgufType::u32) refuse("general.alignment is no u32.");
      alignment = static_cast<std::uint64_t>(result.integer("general.alignment"));
      if (!std::has_single_bit(alignment) || alignment > max_alignment) {
        refuse("general.alignment is ", alignment, ", no sensible power of two.");
      }
    }
    const auto pad = [&](std::uint64_t size) { return (size + alignment - 1) & ~(alignment - 1); };
    const std::uint64_t start = pad(at_);
    std::uint64_t offset = 0;
    for (Gguf::Tensor& tensor : result.tensors_) {
      if (tensor.begin != offset) {
        refuse("tensor '", tensor.name, "' should begin at byte ", offset, " of the data, not at ",
               tensor.begin, ".");
      }
      if (start > text_.size() || tensor.size > text_.size() - start ||
          offset > text_.size() - start - tensor.size) {
        refuse("tensor '", tensor.name, "' needs ", tensor.size, " bytes at byte ", start + offset,
               ", but the file has ", text_.size(), ": it is cut off.");
      }
      tensor.begin += start;
      offset += pad(tensor.size);
    }
  }

  MappedFile file_;
  std::string_view text_;
  std::size_t at_ = 0;
};

Gguf Gguf::open(const fs::path& path) {
  return parse(MappedFile::open(path));
}

Gguf Gguf::parse(const MappedFile& file) {
  return GgufParser(file).run();
}

}  // namespace graft::core
