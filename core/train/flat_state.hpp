// What a checkpoint keeps of a trainer, written without a second copy in memory.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "core/base/file.hpp"

namespace graft::core {

/// One flat array of `count` f32 numbers; `write` puts them into the sink piece by piece.
struct FlatState {
  std::int64_t count = 0;
  std::function<void(const Sink&)> write;
};

}  // namespace graft::core
