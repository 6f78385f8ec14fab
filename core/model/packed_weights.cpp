#include <cmath>
#include <cstring>

#include "core/base/error.hpp"
#include "core/model/prequantized.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/packed.hpp"

namespace graft::core {
namespace {

constexpr std::int64_t most = std::int64_t{1} << 31;

class Reader {
 public:
  Reader(HostTensor codes, const Packing& packing, const TensorLookup& lookup)
      : codes_(std::move(codes)),
        packing_(packing),
        lookup_(lookup),
        module_(codes_.name.substr(0, codes_.name.size() - std::string_view("weight").size())) {}

  HostTensor read() const {
    auto matrix = std::make_shared<PackedMatrix>();
    PackedMatrix& m = *matrix;
    const std::int64_t per_word = 32 / packing_.bits;
    require(codes_, "qweight", GRAFT_I32, {});
    const std::int64_t first = codes_.shape[0], last = codes_.shape[1];
    if (first < 1 || last < 1 || first > most || last > most) {
      refuse("is said to be ", shape_text(codes_.shape), ".");
    }
    m.bits = packing_.bits;
    m.words_of_rows = packing_.awq;
    m.zero_offset = packing_.zero_offset;
    m.columns = packing_.awq ? first : first * per_word;
    m.rows = packing_.awq ? last * per_word : last;
    if (m.rows % per_word != 0) refuse("has ", m.rows, " outputs, no multiple of ", per_word, ".");
    const std::int64_t group = packing_.group == -1 ? m.columns : packing_.group;
    m.groups = m.columns == 0 ? 0 : (m.columns + group - 1) / group;
    const HostTensor zeros = part("qzeros", GRAFT_I32, {m.groups, m.rows / per_word});
    const HostTensor scales = part("scales", GRAFT_F16, {m.groups, m.rows});
    for (std::size_t i = 0; i < scales.bytes.size(); i += 2) {
      std::uint16_t half = 0;
      std::memcpy(&half, scales.bytes.data() + i, sizeof half);
      if (!std::isfinite(f16_to_float(half))) refuse("has \"scales\" that are no finite numbers.");
    }
    for (std::int64_t column = 0; column < m.columns; ++column) {
      m.group.push_back(static_cast<std::int32_t>(column / group));
    }
    if (!packing_.awq && lookup_(module_ + "g_idx")) read_groups(m);
    m.codes = codes_.bytes;
    m.zeros = zeros.bytes;
    m.scales = scales.bytes;
    m.owners[0] = codes_.owner;
    m.owners[1] = zeros.owner;
    m.owners[2] = scales.owner;
    HostTensor result = codes_;
    result.dtype = GRAFT_QUANT;
    result.shape = {m.rows, m.columns};
    result.block_format = packing_.awq ? "awq" : "gptq";
    result.packed = matrix;
    return result;
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw Error(GRAFT_E_INVALID, cat("tensor '", codes_.name, "', quantized by ",
                                     packing_.awq ? "awq" : "gptq", ", ", parts...));
  }

  void require(const HostTensor& tensor, const char* what, std::uint32_t dtype,
               const std::vector<std::int64_t>& shape) const {
    const bool fits = shape.empty() ? tensor.shape.size() == 2 : tensor.shape == shape;
    if (tensor.dtype == dtype && fits) return;
    refuse("has \"", what, "\" ", shape_text(tensor.shape), " of ", dtype_name(tensor.dtype), "; ",
           shape.empty() ? "a matrix" : shape_text(shape), " of ", dtype_name(dtype),
           " is needed.");
  }

  HostTensor part(const char* what, std::uint32_t dtype,
                  const std::vector<std::int64_t>& shape) const {
    const auto found = lookup_(module_ + what);
    if (!found) refuse("lacks its \"", what, "\".");
    require(*found, what, dtype, shape);
    return *found;
  }

  /// With desc_act the columns of a group lie anywhere.
  void read_groups(PackedMatrix& m) const {
    const HostTensor index = part("g_idx", GRAFT_I32, {m.columns});
    std::memcpy(m.group.data(), index.bytes.data(), index.bytes.size());
    for (const std::int32_t group : m.group) {
      if (group < 0 || group >= m.groups) {
        refuse("has a group ", group, " in \"g_idx\"; there are ", m.groups, ".");
      }
    }
  }

  HostTensor codes_;
  const Packing& packing_;
  const TensorLookup& lookup_;
  std::string module_;
};

}  // namespace

HostTensor with_groups(HostTensor codes, const Packing& packing, const TensorLookup& lookup) {
  return Reader(std::move(codes), packing, lookup).read();
}

bool is_packed_part(std::string_view name) {
  for (const char* end : {".qweight", ".qzeros", ".scales", ".g_idx"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

}  // namespace graft::core
