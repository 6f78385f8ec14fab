// Memory that lies in a file, so that it need not be resident.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "core/base/file.hpp"

namespace graft::core {

/// Memory in a file without a name. Copies share it; it goes with the last copy and whatever at()
/// gave.
class PageFile {
 public:
  PageFile() = default;
  /// `bytes` zeros in a file in `folder`, or, where there is no such folder, in the one for temporary
  /// files. The room is taken at once: throws GRAFT_E_IO, beginning with `who`, where there is none.
  static PageFile make(const fs::path& folder, std::uint64_t bytes, std::string_view who);

  explicit operator bool() const { return memory_ != nullptr; }
  /// Memory from `offset` on.
  std::shared_ptr<void> at(std::uint64_t offset) const;
  /// What lies there is not resident from now on until it is used again.
  void release(const void* begin, std::uint64_t bytes) const;

 private:
  std::shared_ptr<std::byte> memory_;
  std::uint64_t bytes_ = 0;
};

}  // namespace graft::core
