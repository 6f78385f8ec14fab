// Files: mapping, whole reads, and writes that are whole or not there.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace graft::core {

namespace fs = std::filesystem;

/// A read-only memory mapping of a whole file. Copies share the mapping, which lives as long as
/// the last copy. An empty file gives an empty span. A pipe is read to its end into a file without a
/// name in the folder for temporary files, and that is mapped.
class MappedFile {
 public:
  MappedFile() = default;
  /// Throws GRAFT_E_NOT_FOUND or GRAFT_E_IO, naming the file.
  static MappedFile open(const fs::path& path);
  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  const fs::path& path() const { return path_; }
  /// Gives the memory of pages that were read back; they are read again when they are used.
  void forget() const;

 private:
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
  fs::path path_;
};

/// The whole content of a file. Throws like MappedFile::open; refuses more than `limit` bytes.
std::string read_file(const fs::path& path, std::uint64_t limit = std::uint64_t{1} << 30);

/// Writes `path` so that after a crash it is the old or the new content, never a part: temporary
/// file in the same folder, fsync, rename, fsync of the folder. On an error (full disk) the
/// temporary file is removed, what was there stays, and GRAFT_E_IO is thrown.
void write_file_atomically(const fs::path& path, std::string_view content);

/// The same for content that is produced piece by piece: `produce` gets a sink to append to.
using Sink = std::function<void(const void* data, std::size_t size)>;
void write_file_atomically(const fs::path& path, const std::function<void(const Sink&)>& produce);

/// A descriptor of a new file in `folder` that has no name any more: it goes when it is closed. -1, and
/// errno, where none can be made.
int open_nameless(const fs::path& folder);

/// fsync of a folder, so that a rename inside it survives a crash.
void sync_folder(const fs::path& folder);

/// Hexadecimal SHA-256 of bytes, lower case, 64 characters.
std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace graft::core
