#include "core/tensor/host_tensor.hpp"

#include "core/base/error.hpp"

namespace graft::core {

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) text += cat(text.size() == 1 ? "" : ", ", extent);
  return text + "]";
}

}  // namespace graft::core
