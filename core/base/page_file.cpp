#include "core/base/page_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/error.hpp"
#include "core/base/size.hpp"

namespace graft::core {

PageFile PageFile::make(const fs::path& folder, std::uint64_t bytes, std::string_view who) {
  PageFile result;
  std::error_code none;
  const fs::path place = fs::is_directory(folder, none) ? folder : fs::temp_directory_path();
  const auto fail = [&](int code) {
    throw Error(GRAFT_E_IO, cat(who, ": no file of ", size_text(bytes), " can be made in '",
                                place.string(), "': ", std::strerror(code), "."));
  };
  const int file = open_nameless(place);
  if (file < 0) fail(errno);
  const std::uint64_t size = std::max<std::uint64_t>(bytes, 1);
  const int full = ::posix_fallocate(file, 0, static_cast<off_t>(size));
  void* data =
      full == 0 ? ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
  const int code = full == 0 ? errno : full;
  ::close(file);
  if (data == MAP_FAILED) fail(code);
  result.bytes_ = size;
  result.memory_ = std::shared_ptr<std::byte>(static_cast<std::byte*>(data),
                                              [size](std::byte* at) { ::munmap(at, size); });
  return result;
}

std::shared_ptr<void> PageFile::at(std::uint64_t offset) const {
  return {memory_, memory_.get() + offset};
}

void PageFile::release(const void* begin, std::uint64_t bytes) const {
  if (bytes == 0) return;
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto from =
      static_cast<std::uint64_t>(static_cast<const std::byte*>(begin) - memory_.get());
  const std::uint64_t first = from / page * page, last = std::min(bytes_, from + bytes);
  ::madvise(memory_.get() + first, last - first, MADV_DONTNEED);
}

}  // namespace graft::core
