// Tensors in any layout, with memory around and between their elements that nobody may touch. The
// index arithmetic is this program's own: nothing of it is shared with a backend.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <graft/backend.hpp>
#include <memory>
#include <vector>

namespace graft::conform {

using Shape = std::vector<std::int64_t>;
using Values = std::vector<double>;  // in row-major order of the shape

inline std::size_t count_of(const Shape& shape) {
  std::size_t n = 1;
  for (const std::int64_t extent : shape) n *= static_cast<std::size_t>(extent);
  return n;
}

/// Where the elements of a shape lie.
struct Layout {
  std::vector<std::int32_t> order;  // axes from the outermost in memory inward; empty: as in shape
  std::int64_t step = 1;            // between neighbours on the innermost axis
  std::int64_t pad = 0;             // elements left out after each run of the innermost axis
  std::uint32_t broadcast = 0;      // bit d: axis d has stride 0
};

/// The values as they read back after being stored as `dtype`.
Values rounded(Values values, std::uint32_t dtype);

class Tensor {
 public:
  /// The first element lies on 64 bytes, or, with `odd_start`, on nothing but its own size.
  Tensor(std::uint32_t dtype, Shape shape, const Layout& layout, bool odd_start);

  /// Sets every byte that is no element to a pattern that reads as NaN, and the elements to
  /// `values`, or to that pattern where `values` is empty.
  void reset(const Values& values);
  Values read() const;
  /// Whether all bytes that are no element still have the pattern.
  bool surroundings_intact() const;

  std::byte* bytes() { return bytes_.get(); }
  const std::byte* bytes() const { return bytes_.get(); }
  std::size_t size() const { return size_; }
  std::uint32_t dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }

  /// A view for memory that holds a copy of bytes().
  graft_view view(std::byte* memory, std::int32_t device_type) const;
  /// Offset in bytes of each element of the leading part `shape`, in row-major order.
  std::vector<std::size_t> places(const Shape& shape) const;
  const std::vector<std::size_t>& places() const { return places_; }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::uint32_t dtype_;
  Shape shape_, stride_;
  std::size_t element_, start_, size_;  // bytes
  std::vector<std::size_t> places_;     // of all elements
  std::unique_ptr<std::byte, Free> bytes_;
};

}  // namespace graft::conform
