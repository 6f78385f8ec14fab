#include "core/base/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

[[noreturn]] void fail(const char* verb, const fs::path& path, int code) {
  const graft_status status = code == ENOENT ? GRAFT_E_NOT_FOUND : GRAFT_E_IO;
  throw Error(status, cat("cannot ", verb, " '", path.string(), "': ", std::strerror(code), "."));
}

struct Descriptor {
  int fd = -1;
  explicit Descriptor(int value) : fd(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  int release() {
    const int value = fd;
    fd = -1;
    return value;
  }
};

void write_all(int fd, const void* data, std::size_t size, const fs::path& path) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t done = ::write(fd, at, size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("write", path, errno);
    at += done;
    size -= static_cast<std::size_t>(done);
  }
}

/// Hands the content of `fd` to `take`, piece by piece.
template <class F>
void read_all(int fd, const fs::path& path, F take) {
  char buffer[65536];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path, errno);
    if (got == 0) return;
    take(buffer, static_cast<std::size_t>(got));
  }
}

/// What a pipe or a device gives, as a file without a name.
int spooled(int fd, const fs::path& path) {
  const fs::path folder = fs::temp_directory_path();
  Descriptor copy(open_nameless(folder));
  if (copy.fd < 0) fail("create a file in", folder, errno);
  read_all(fd, path, [&](const char* data, std::size_t n) { write_all(copy.fd, data, n, folder); });
  return copy.release();
}

struct stat status_of(int fd, const fs::path& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) fail("read", path, errno);
  return info;
}

}  // namespace

MappedFile MappedFile::open(const fs::path& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) fail("open", path, errno);
  struct stat info = status_of(file.fd, path);
  if (S_ISDIR(info.st_mode)) fail("read", path, EISDIR);
  if (!S_ISREG(info.st_mode)) {
    const int copy = spooled(file.fd, path);
    ::close(std::exchange(file.fd, copy));
    info = status_of(file.fd, path);
  }
  MappedFile result;
  result.path_ = path;
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) return result;
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data == MAP_FAILED) fail("map", path, errno);
  result.owner_ =
      std::shared_ptr<const void>(data, [size](void* mapped) { ::munmap(mapped, size); });
  result.bytes_ = {static_cast<const std::byte*>(data), size};
  return result;
}

void MappedFile::forget() const {
  if (owner_) ::madvise(const_cast<void*>(owner_.get()), bytes_.size(), MADV_DONTNEED);
}

std::string read_file(const fs::path& path, std::uint64_t limit) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) fail("open", path, errno);
  std::string content;
  read_all(file.fd, path, [&](const char* data, std::size_t n) {
    content.append(data, n);
    if (content.size() > limit) {
      throw Error(GRAFT_E_INVALID, cat("'", path.string(), "' is larger than ", limit,
                                       " bytes, which is too much for a file of its kind."));
    }
  });
  return content;
}

int open_nameless(const fs::path& folder) {
  std::string name = (folder / ".graft-XXXXXX").string();
  const int file = ::mkostemp(name.data(), O_CLOEXEC);
  if (file >= 0) ::unlink(name.c_str());
  return file;
}

void sync_folder(const fs::path& folder) {
  const fs::path name = folder.empty() ? fs::path(".") : folder;
  Descriptor file(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.fd < 0) fail("open", name, errno);
  if (::fsync(file.fd) != 0 && errno != EINVAL) fail("sync", name, errno);
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  write_file_atomically(path, [&](const Sink& sink) { sink(content.data(), content.size()); });
}

void write_file_atomically(const fs::path& path, const std::function<void(const Sink&)>& produce) {
  fs::path temporary = path;
  temporary += cat(".tmp-", ::getpid());
  Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.fd < 0) fail("create", temporary, errno);
  try {
    produce([&](const void* data, std::size_t size) { write_all(file.fd, data, size, path); });
    if (::fsync(file.fd) != 0) fail("write", path, errno);
    if (::close(file.release()) != 0) fail("write", path, errno);
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail("replace", path, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(path.parent_path());
}

}  // namespace graft::core
