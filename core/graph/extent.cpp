#include "core/graph/extent.hpp"

#include "core/base/error.hpp"

namespace graft::core {

Extent operator+(const Extent& a, const Extent& b) {
  Extent sum = a;
  sum.constant += b.constant;
  for (std::size_t i = 0; i < sum.coefficient.size(); ++i) sum.coefficient[i] += b.coefficient[i];
  return sum;
}

Extent operator*(const Extent& a, std::int64_t factor) {
  Extent product = a;
  product.constant *= factor;
  for (std::int64_t& c : product.coefficient) c *= factor;
  return product;
}

std::string to_string(const Extent& extent) {
  static constexpr const char* kNames[] = {"rows", "sequences", "supervised"};
  constexpr auto first_group = static_cast<int>(Symbol::kGroup);
  std::string text;
  for (int i = 0; i < kSymbols; ++i) {
    const std::int64_t c = extent.coefficient[static_cast<std::size_t>(i)];
    if (c == 0) continue;
    if (!text.empty()) text += " + ";
    const std::string name = i < first_group ? kNames[i] : cat("rows of group ", i - first_group);
    text += c == 1 ? name : cat(c, "*", name);
  }
  if (text.empty()) return cat(extent.constant);
  return extent.constant == 0 ? text : cat(text, " + ", extent.constant);
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + to_string(shape[i]);
  }
  return text + "]";
}

std::int64_t count(const Shape& shape, const Bindings& b) {
  std::int64_t product = 1;
  for (const Extent& e : shape) product *= e.at(b);
  return product;
}

}  // namespace graft::core
