// What a template may use up, and how it fails: templates come with models, from anywhere.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"

namespace graft::core::jinja {

/// A mistake found while a template is parsed or run; the caller adds line and column.
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& message) : std::runtime_error(message) {}
};

inline constexpr int deepest_nesting = 200;
inline constexpr int deepest_expression = 400;
inline constexpr int deepest_run = 800;
inline constexpr std::int64_t longest_range = 100'000;
inline constexpr std::size_t longest_text = std::size_t{1} << 26;

/// Counts what a rendering does, and owns what it cannot free piece by piece. Making a text or list
/// costs by its size, so that memory is limited with the steps.
class Limits {
 public:
  void step(std::size_t cost = 1) {
    steps_ += cost;
    if (steps_ > most_steps) throw Failure(cat("more than ", most_steps, " steps"));
  }
  /// Keeps a value until the rendering ends.
  template <class T>
  T* keep(T value) {
    step(16);
    kept_.push_back(std::make_shared<T>(std::move(value)));
    return static_cast<T*>(kept_.back().get());
  }
  /// Before a text of `size` bytes is made.
  void text(std::size_t size) {
    if (size > longest_text) throw Failure(cat("a text longer than ", longest_text, " bytes"));
    step(1 + size / 64);
  }

 private:
  static constexpr std::size_t most_steps = 5'000'000;
  std::size_t steps_ = 0;
  std::vector<std::shared_ptr<void>> kept_;
};

}  // namespace graft::core::jinja
