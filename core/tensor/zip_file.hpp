// The zip container as torch.save writes it: uncompressed entries, zip64 included.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "core/base/file.hpp"

namespace graft::core {

/// A zip file whose directory has passed every check. Entries that are compressed or encrypted are
/// refused. Copies share the mapping.
class ZipFile {
 public:
  /// Throws GRAFT_E_INVALID naming the file and, where it is about one, the entry.
  static ZipFile parse(const MappedFile& file);

  struct Entry {
    std::uint64_t begin = 0, size = 0;
    std::uint32_t crc = 0;
  };
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  /// nullptr: there is none of that name.
  const Entry* find(std::string_view name) const;
  /// Its bytes, a view of the mapping. Throws where they do not have the checksum of the directory.
  std::span<const std::byte> bytes(std::string_view name) const;

 private:
  MappedFile file_;
  std::map<std::string, Entry, std::less<>> entries_;
};

/// The checksum of zip files: CRC-32 as of IEEE 802.3.
std::uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace graft::core
