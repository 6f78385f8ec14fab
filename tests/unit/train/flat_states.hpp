// Flat states of vectors and back.
#pragma once
#include <graft/types.h>

#include <cstring>
#include <utility>
#include <vector>

#include "core/train/flat_state.hpp"

namespace graft::core::test {

inline std::vector<FlatState> flat_states(std::vector<std::vector<float>> values) {
  std::vector<FlatState> states;
  for (std::vector<float>& v : values) {
    const auto count = static_cast<std::int64_t>(v.size());
    states.push_back({GRAFT_F32, count, [v = std::move(v)](const Sink& sink) {
                        sink(v.data(), v.size() * sizeof(float));
                      }});
  }
  return states;
}

/// As a checkpoint has them; `values` must live on.
inline std::vector<StoredState> stored(const std::vector<std::vector<float>>& values) {
  std::vector<StoredState> states;
  for (const std::vector<float>& v : values)
    states.push_back({GRAFT_F32, std::as_bytes(std::span(v))});
  return states;
}

inline std::vector<std::vector<float>> values_of(const std::vector<StoredState>& states) {
  std::vector<std::vector<float>> values;
  for (const StoredState& state : states) {
    std::vector<float>& v = values.emplace_back(state.bytes.size() / sizeof(float));
    if (!v.empty()) std::memcpy(v.data(), state.bytes.data(), state.bytes.size());
  }
  return values;
}

inline std::vector<std::vector<float>> values_of(const std::vector<FlatState>& states) {
  std::vector<std::vector<float>> values;
  for (const FlatState& state : states) {
    std::vector<float>& v = values.emplace_back();
    state.write([&](const void* data, std::size_t bytes) {
      const std::size_t begin = v.size();
      v.resize(begin + bytes / sizeof(float));
      std::memcpy(v.data() + begin, data, bytes);
    });
    if (state.count != static_cast<std::int64_t>(v.size())) v.clear();  // it lied: nothing is equal
  }
  return values;
}

}  // namespace graft::core::test
