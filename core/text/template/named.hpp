// Tables of what templates call by name.
#pragma once
#include <cstddef>
#include <string_view>

namespace graft::core::jinja {

/// An entry of a table: a function under its name.
template <class F>
struct Named {
  std::string_view name;
  F function;
};

/// Null where the table has no such name.
template <class F, std::size_t N>
F find_named(const Named<F> (&table)[N], std::string_view name) {
  for (const Named<F>& entry : table) {
    if (entry.name == name) return entry.function;
  }
  return nullptr;
}

}  // namespace graft::core::jinja
