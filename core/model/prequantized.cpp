#include "core/model/prequantized.hpp"

#include <cmath>
#include <cstring>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/quantize.hpp"

namespace graft::core {
namespace {

constexpr std::size_t kMostState = 1 << 16;  // bytes of the description
constexpr const char* kStates[] = {".quant_state.bitsandbytes__nf4",
                                   ".quant_state.bitsandbytes__fp4"};

/// A quantized tensor's buffers: the file's codes, own memory for what decodes them.
struct Held {
  graft_quant quant{};
  std::vector<std::byte> memory;
  std::shared_ptr<const void> codes;
};

class Reader {
 public:
  Reader(HostTensor stored, const TensorLookup& lookup)
      : stored_(std::move(stored)), lookup_(lookup) {}

  HostTensor four_bits(const HostTensor& state, std::string_view type) const {
    const Json json = description(state);
    if (text(json, "quant_type") != type)
      refuse("says quant_type ", shown(json, "quant_type"), ".");
    const Json& shape = json.contains("shape") ? json["shape"] : Json();
    if (!shape.is_array() || shape.size() != 2 || !shape[0].is_number_unsigned() ||
        !shape[1].is_number_unsigned()) {
      refuse("needs a \"shape\" of two extents, not ", shown(json, "shape"), ".");
    }
    const bool nested = json.contains("nested_offset");
    if (nested && number(json, "nested_blocksize") != 256) {
      refuse("has nested statistics in blocks of ", shown(json, "nested_blocksize"),
             "; 256 are read.");
    }
    const auto block = static_cast<std::int64_t>(number(json, "blocksize"));
    graft_quant q{};
    try {
      q = quantized_shape(type, extent(shape[0]), extent(shape[1]), block, nested);
    } catch (const Error& e) {
      refuse("cannot be: ", e.what());
    }
    if (stored_.bytes.size() != q.data_bytes) {
      refuse("has ", stored_.bytes.size(), " bytes of codes; ", shape.dump(), " needs ",
             q.data_bytes, ".");
    }
    auto held = hold(q);
    const HostTensor scales = part("absmax", nested ? GRAFT_U8 : GRAFT_F32, q.aux_bytes[0]);
    copy(held->quant, 0, scales);
    copy(held->quant, 2, part("quant_map", GRAFT_F32, 16 * sizeof(float)));
    if (nested) {
      copy(held->quant, 1, part("nested_absmax", GRAFT_F32, q.aux_bytes[1]));
      copy(held->quant, 3, part("nested_quant_map", GRAFT_F32, 256 * sizeof(float)));
      const auto offset = static_cast<float>(number(json, "nested_offset"));
      std::memcpy(static_cast<std::byte*>(const_cast<void*>(held->quant.aux[3])) + 1024, &offset,
                  sizeof offset);
    }
    require_finite(held->quant, nested);
    return finished(std::move(held), {extent(shape[0]), extent(shape[1])});
  }

  HostTensor eight_bits(const HostTensor& scales) const {
    if (stored_.shape.size() != 2) refuse("is ", shape_text(stored_.shape), ", not a matrix.");
    graft_quant q = quantized_shape("int8", stored_.shape[0], stored_.shape[1], 64, false);
    if (scales.dtype != GRAFT_F32 || scales.bytes.size() != q.aux_bytes[0]) {
      refuse("has ", shape_text(scales.shape), " of ", dtype_name(scales.dtype),
             " as \"SCB\"; it needs an f32 for each row.");
    }
    auto held = hold(q);
    copy(held->quant, 0, scales);
    require_finite(held->quant, false);
    return finished(std::move(held), stored_.shape);
  }

  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw Error(GRAFT_E_INVALID,
                cat("tensor '", stored_.name, "', quantized by bitsandbytes, ", parts...));
  }

 private:
  Json description(const HostTensor& state) const {
    if (state.bytes.size() > kMostState)
      refuse("has a quant_state of ", state.bytes.size(), " bytes.");
    const std::string raw(reinterpret_cast<const char*>(state.bytes.data()), state.bytes.size());
    Json json = parse_json(raw, cat("quant_state of '", stored_.name, "'"));
    if (!json.is_object()) refuse("has a quant_state that is no object.");
    static const char* known[] = {"quant_type",       "blocksize",    "dtype",        "shape",
                                  "nested_blocksize", "nested_dtype", "nested_offset"};
    for (const auto& [key, value] : json.items()) {
      bool found = false;
      for (const char* name : known) found = found || key == name;
      if (!found) refuse("has an unknown field '", key, "' in its quant_state.");
    }
    return json;
  }

  static std::string shown(const Json& json, const char* key) {
    return json.contains(key) ? json[key].dump() : "nothing";
  }
  static std::string text(const Json& json, const char* key) {
    return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
  }
  double number(const Json& json, const char* key) const {
    if (!json.contains(key) || !json[key].is_number() || !std::isfinite(json[key].get<double>()) ||
        std::fabs(json[key].get<double>()) > 1e15) {
      refuse("needs a number \"", key, "\" in its quant_state, not ", shown(json, key), ".");
    }
    return json[key].get<double>();
  }
  std::int64_t extent(const Json& value) const {
    const auto n = value.get<std::uint64_t>();
    if (n > std::uint64_t{1} << 40) refuse("is said to be ", n, " long.");
    return static_cast<std::int64_t>(n);
  }

  HostTensor part(const char* what, std::uint32_t dtype, std::uint64_t bytes) const {
    const auto found = lookup_(cat(stored_.name, ".", what));
    if (!found) refuse("lacks its statistics '", stored_.name, ".", what, "'.");
    if (found->dtype != dtype || found->bytes.size() != bytes) {
      refuse("has '", what, "' ", shape_text(found->shape), " of ", dtype_name(found->dtype), "; ",
             bytes, " bytes of ", dtype_name(dtype), " are needed.");
    }
    return *found;
  }

  std::shared_ptr<Held> hold(const graft_quant& shape) const {
    auto held = std::make_shared<Held>();
    held->quant = shape;
    held->quant.data_bytes = 0;
    held->memory.resize(buffer_bytes(held->quant));
    set_buffers(held->quant, held->memory.data());
    held->quant.data = stored_.bytes.data();
    held->quant.data_bytes = shape.data_bytes;
    held->codes = stored_.owner;
    return held;
  }

  static void copy(graft_quant& q, std::size_t aux, const HostTensor& from) {
    std::memcpy(const_cast<void*>(q.aux[aux]), from.bytes.data(), from.bytes.size());
  }

  void require_finite(const graft_quant& q, bool nested) const {
    for (std::size_t i = 0; i < 4; ++i) {
      if (!q.aux[i] || (i == 0 && nested)) continue;
      const auto* values = static_cast<const float*>(q.aux[i]);
      for (std::uint64_t k = 0; k < q.aux_bytes[i] / sizeof(float); ++k) {
        if (!std::isfinite(values[k])) refuse("has statistics that are no finite numbers.");
      }
    }
  }

  HostTensor finished(std::shared_ptr<Held> held, std::vector<std::int64_t> shape) const {
    HostTensor result = stored_;
    result.dtype = GRAFT_QUANT;
    result.shape = std::move(shape);
    result.block_format = held->quant.format;
    result.quant = std::shared_ptr<const graft_quant>(held, &held->quant);
    result.owner = held;
    return result;
  }

  HostTensor stored_;
  const TensorLookup& lookup_;
};

}  // namespace

HostTensor with_statistics(HostTensor stored, const TensorLookup& lookup) {
  constexpr std::string_view weight = ".weight";
  if (!std::string_view(stored.name).ends_with(weight)) return stored;
  std::optional<HostTensor> states[2];
  for (std::size_t i = 0; i < 2; ++i) states[i] = lookup(stored.name + kStates[i]);
  const std::string name = stored.name;
  const std::uint32_t dtype = stored.dtype;
  const Reader reader(stored, lookup);
  if (states[0] && states[1]) reader.refuse("has two quant_states, nf4 and fp4.");
  if (states[0]) return reader.four_bits(*states[0], "nf4");
  if (states[1]) return reader.four_bits(*states[1], "fp4");
  const auto scales = lookup(name.substr(0, name.size() - weight.size()) + ".SCB");
  if (scales && dtype == GRAFT_I8) return reader.eight_bits(*scales);
  if (dtype == GRAFT_U8 || dtype == GRAFT_I8) {
    reader.refuse("lacks its statistics: no '", name, kStates[0], "', no \"SCB\".");
  }
  return stored;
}

bool is_statistics(std::string_view name) {
  for (const char* end : {".weight.absmax", ".weight.quant_map", ".weight.nested_absmax",
                          ".weight.nested_quant_map", ".SCB", ".weight_format"}) {
    if (name.ends_with(end)) return true;
  }
  return name.find(".weight.quant_state.") != std::string_view::npos;
}

}  // namespace graft::core
