#include "tensor.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <numeric>
#include <stdexcept>

namespace graft::conform {
namespace {

constexpr auto kPattern = std::byte{0xFF};  // a NaN in every floating-point type
constexpr std::size_t kGuard = 256;         // bytes before the first and after the last element

template <typename F>
void with_type(std::uint32_t dtype, F&& f) {
  switch (dtype) {
    case GRAFT_F64:
      return f(double{});
    case GRAFT_F32:
      return f(float{});
    case GRAFT_F16:
      return f(backend::F16{});
    case GRAFT_BF16:
      return f(backend::Bf16{});
    case GRAFT_I32:
      return f(std::int32_t{});
    case GRAFT_U8:
      return f(std::uint8_t{});
    default:
      throw std::logic_error("a problem with an unknown dtype");
  }
}

Shape strides_of(const Shape& shape, const Layout& layout) {
  std::vector<std::int32_t> order = layout.order;
  if (order.empty()) {
    order.resize(shape.size());
    std::iota(order.begin(), order.end(), 0);
  }
  Shape stride(shape.size());
  std::int64_t next = layout.step;
  bool innermost = true;
  for (std::size_t i = order.size(); i-- > 0;) {
    const auto axis = static_cast<std::size_t>(order[i]);
    if (layout.broadcast >> axis & 1) continue;
    stride[axis] = next;
    next *= std::max<std::int64_t>(shape[axis], 1);
    if (innermost) next += layout.pad;
    innermost = false;
  }
  return stride;
}

}  // namespace

Values rounded(Values values, std::uint32_t dtype) {
  with_type(dtype, [&](auto type) {
    for (double& value : values)
      value = backend::to_double(backend::from_double<decltype(type)>(value));
  });
  return values;
}

Tensor::Tensor(std::uint32_t dtype, Shape shape, const Layout& layout, bool odd_start)
    : dtype_(dtype),
      shape_(std::move(shape)),
      stride_(strides_of(shape_, layout)),
      element_(backend::dtype_bytes(dtype)),
      start_(kGuard + (odd_start ? element_ : 0)),
      places_(places(shape_)) {
  std::size_t span = count_of(shape_) > 0 ? 1 : 0;
  for (std::size_t d = 0; d < shape_.size() && span > 0; ++d)
    span += static_cast<std::size_t>((shape_[d] - 1) * stride_[d]);
  size_ = (start_ + span * element_ + 2 * kGuard - 1) / kGuard * kGuard;
  bytes_.reset(static_cast<std::byte*>(std::aligned_alloc(kGuard, size_)));
  if (!bytes_) throw std::bad_alloc();
}

std::vector<std::size_t> Tensor::places(const Shape& shape) const {
  std::vector<std::size_t> out;
  out.reserve(count_of(shape));
  std::vector<std::int64_t> index(shape.size());
  for (std::size_t n = count_of(shape); n > 0; --n) {
    std::int64_t at = 0;
    for (std::size_t d = 0; d < shape.size(); ++d) at += index[d] * stride_[d];
    out.push_back(start_ + static_cast<std::size_t>(at) * element_);
    for (std::size_t d = shape.size(); d-- > 0 && ++index[d] == shape[d];) index[d] = 0;
  }
  return out;
}

void Tensor::reset(const Values& values) {
  std::fill(bytes(), bytes() + size_, kPattern);
  if (values.empty()) return;
  const std::vector<std::size_t>& at = places_;
  if (values.size() != at.size()) throw std::logic_error("a problem with values of a wrong size");
  with_type(dtype_, [&](auto type) {
    for (std::size_t i = 0; i < at.size(); ++i) {
      const auto value = backend::from_double<decltype(type)>(values[i]);
      std::memcpy(bytes() + at[i], &value, element_);
    }
  });
}

Values Tensor::read() const {
  const std::vector<std::size_t>& at = places_;
  Values out(at.size());
  with_type(dtype_, [&](auto type) {
    for (std::size_t i = 0; i < at.size(); ++i) {
      std::memcpy(&type, bytes() + at[i], element_);
      out[i] = backend::to_double(type);
    }
  });
  return out;
}

bool Tensor::surroundings_intact() const {
  std::vector<std::byte> rest(bytes(), bytes() + size_);
  for (const std::size_t at : places_) std::fill_n(rest.begin() + at, element_, kPattern);
  return std::all_of(rest.begin(), rest.end(), [](std::byte b) { return b == kPattern; });
}

graft_view Tensor::view(std::byte* memory, std::int32_t device_type) const {
  graft_view out = {};
  out.data = memory + start_;
  out.device_type = device_type;
  out.dtype = dtype_;
  out.ndim = static_cast<std::int32_t>(shape_.size());
  std::copy(shape_.begin(), shape_.end(), out.shape);
  std::copy(stride_.begin(), stride_.end(), out.stride);
  return out;
}

}  // namespace graft::conform
