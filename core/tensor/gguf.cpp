#include "core/tensor/gguf.hpp"

#include <cstring>
#include <limits>

#include "core/base/error.hpp"
#include "core/tensor/block_formats.hpp"

namespace graft::core {
namespace {

template <class T>
T load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::optional<std::int64_t> integer_at(GgufType type, const char* at) {
  switch (type) {
    case GgufType::u8:
      return load<std::uint8_t>(at);
    case GgufType::i8:
      return load<std::int8_t>(at);
    case GgufType::u16:
      return load<std::uint16_t>(at);
    case GgufType::i16:
      return load<std::int16_t>(at);
    case GgufType::u32:
      return load<std::uint32_t>(at);
    case GgufType::i32:
      return load<std::int32_t>(at);
    case GgufType::i64:
      return load<std::int64_t>(at);
    case GgufType::u64: {
      const auto value = load<std::uint64_t>(at);
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) break;
      return static_cast<std::int64_t>(value);
    }
    default:
      break;
  }
  return std::nullopt;
}

std::optional<double> number_at(GgufType type, const char* at) {
  if (type == GgufType::f32) return load<float>(at);
  if (type == GgufType::f64) return load<double>(at);
  if (const auto value = integer_at(type, at)) return static_cast<double>(*value);
  return std::nullopt;
}

constexpr std::string_view type_names[] = {"u8",   "i8",   "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "text", "array", "u64", "i64", "f64"};

std::string describe(const Gguf::Value& value) {
  const auto name = [](GgufType type) { return type_names[static_cast<std::size_t>(type)]; };
  if (value.type != GgufType::array) return std::string(name(value.type));
  return cat("array of ", value.count, " ", name(value.element));
}

}  // namespace

const Gguf::Value* Gguf::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

const Gguf::Value& Gguf::require(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) {
    throw Error(GRAFT_E_INVALID, cat("GGUF file '", path().string(), "': '", key, "' is missing."));
  }
  return *value;
}

void Gguf::wrong_type(std::string_view key, const Value& value, std::string_view wanted) const {
  throw Error(GRAFT_E_INVALID, cat("GGUF file '", path().string(), "': '", key, "' is ",
                                   describe(value), ", not ", wanted, "."));
}

std::int64_t Gguf::integer(std::string_view key) const {
  const Value& value = require(key);
  const auto result = integer_at(value.type, value.bytes.data());
  if (!result) wrong_type(key, value, "an integer");
  return *result;
}

std::int64_t Gguf::integer(std::string_view key, std::int64_t otherwise) const {
  return has(key) ? integer(key) : otherwise;
}

double Gguf::number(std::string_view key) const {
  const Value& value = require(key);
  const auto result = number_at(value.type, value.bytes.data());
  if (!result) wrong_type(key, value, "a number");
  return *result;
}

double Gguf::number(std::string_view key, double otherwise) const {
  return has(key) ? number(key) : otherwise;
}

bool Gguf::flag(std::string_view key, bool otherwise) const {
  const Value* value = find(key);
  if (value == nullptr) return otherwise;
  if (value->type != GgufType::boolean) wrong_type(key, *value, "a bool");
  return value->bytes[0] != 0;
}

std::string_view Gguf::text(std::string_view key) const {
  const Value& value = require(key);
  if (value.type != GgufType::text) wrong_type(key, value, "a text");
  return value.bytes;
}

std::string_view Gguf::text(std::string_view key, std::string_view otherwise) const {
  return has(key) ? text(key) : otherwise;
}

std::vector<std::string_view> Gguf::texts(std::string_view key) const {
  const Value& value = require(key);
  if (value.type != GgufType::array || value.element != GgufType::text) {
    wrong_type(key, value, "an array of texts");
  }
  std::vector<std::string_view> result;
  result.reserve(value.count);
  const char* at = value.bytes.data();
  for (std::uint64_t i = 0; i < value.count; ++i) {
    const auto size = load<std::uint64_t>(at);
    result.emplace_back(at + 8, size);
    at += 8 + size;
  }
  return result;
}

std::vector<std::int64_t> Gguf::integers(std::string_view key) const {
  const Value& value = require(key);
  std::vector<std::int64_t> result;
  const std::size_t size = value.count == 0 ? 0 : value.bytes.size() / value.count;
  if (value.type != GgufType::array) wrong_type(key, value, "an array of integers");
  for (std::uint64_t i = 0; i < value.count; ++i) {
    const auto element = integer_at(value.element, value.bytes.data() + i * size);
    if (!element) wrong_type(key, value, "an array of integers");
    result.push_back(*element);
  }
  return result;
}

std::vector<float> Gguf::floats(std::string_view key) const {
  const Value& value = require(key);
  std::vector<float> result;
  const std::size_t size = value.count == 0 ? 0 : value.bytes.size() / value.count;
  if (value.type != GgufType::array) wrong_type(key, value, "an array of numbers");
  for (std::uint64_t i = 0; i < value.count; ++i) {
    const auto element = number_at(value.element, value.bytes.data() + i * size);
    if (!element) wrong_type(key, value, "an array of numbers");
    result.push_back(static_cast<float>(*element));
  }
  return result;
}

const Gguf::Tensor& Gguf::tensor_info(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    throw Error(GRAFT_E_NOT_FOUND,
                cat("GGUF file '", path().string(), "' has no tensor '", name, "'."));
  }
  return tensors_[found->second];
}

HostTensor Gguf::tensor(std::string_view name) const {
  const Tensor& info = tensor_info(name);
  HostTensor result;
  result.name = name;
  result.shape = info.shape;
  result.bytes = file_.bytes().subspan(info.begin, info.size);
  result.owner = std::make_shared<MappedFile>(file_);
  switch (info.type) {
    case 0:
      result.dtype = GRAFT_F32;
      break;
    case 1:
      result.dtype = GRAFT_F16;
      break;
    case 24:
      result.dtype = GRAFT_I8;
      break;
    case 26:
      result.dtype = GRAFT_I32;
      break;
    case 27:
      result.dtype = GRAFT_I64;
      break;
    case 28:
      result.dtype = GRAFT_F64;
      break;
    case 30:
      result.dtype = GRAFT_BF16;
      break;
    default:
      result.dtype = GRAFT_QUANT;
      result.block_format = ggml_type_name(info.type);
  }
  return result;
}

std::string ggml_type_name(std::uint32_t type) {
  for (const BlockFormat& format : block_formats()) {
    if (format.ggml_type == type) return std::string(format.name);
  }
  struct Name {
    std::uint32_t type;
    std::string_view name;
  };
  constexpr Name others[] = {
      {0, "f32"},      {1, "f16"},    {9, "q8_1"},   {15, "q8_k"},  {16, "iq2_xxs"}, {17, "iq2_xs"},
      {18, "iq3_xxs"}, {19, "iq1_s"}, {21, "iq3_s"}, {22, "iq2_s"}, {23, "iq4_xs"},  {24, "i8"},
      {25, "i16"},     {26, "i32"},   {27, "i64"},   {28, "f64"},   {29, "iq1_m"},   {30, "bf16"},
      {34, "tq1_0"},   {35, "tq2_0"}, {39, "mxfp4"}};
  for (const Name& known : others) {
    if (known.type == type) return std::string(known.name);
  }
  return cat("number ", type);
}

}  // namespace graft::core
