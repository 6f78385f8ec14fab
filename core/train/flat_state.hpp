// What a checkpoint keeps of a trainer, written without a second copy in memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "core/base/file.hpp"

namespace graft::core {

/// One flat array of `count` numbers; `write` puts them into the sink piece by piece.
struct FlatState {
  std::uint32_t dtype = 0;
  std::int64_t count = 0;
  std::function<void(const Sink&)> write;
};

/// One as a checkpoint has it. The bytes may be unaligned.
struct StoredState {
  std::uint32_t dtype = 0;
  std::span<const std::byte> bytes;
};

}  // namespace graft::core
