#include "core/tensor/zip_file.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50,
                        kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr std::size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56,
                      kLocator64Size = 20;
constexpr std::uint32_t kIn64 = 0xffffffff;  // the number stands in a zip64 record
constexpr std::uint64_t kMaxEntries = 1 << 20;

/// Little-endian numbers at places that are checked before.
class Bytes {
 public:
  explicit Bytes(const MappedFile& file) : file_(file) {}
  std::uint64_t size() const { return file_.bytes().size(); }
  template <class Number>
  Number at(std::uint64_t place) const {
    Number value = 0;
    std::memcpy(&value, file_.bytes().data() + place, sizeof value);
    return value;
  }
  std::string_view text(std::uint64_t place, std::uint64_t length) const {
    return file_.text().substr(place, length);
  }
  bool holds(std::uint64_t place, std::uint64_t length) const {
    return place <= size() && length <= size() - place;
  }
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw Error(GRAFT_E_INVALID, cat("zip file '", file_.path().string(), "': ", parts...));
  }

 private:
  const MappedFile& file_;
};

struct Directory {
  std::uint64_t begin = 0, size = 0, entries = 0;
};

/// Where the record at the end of the file begins: its comment must reach to the end.
std::uint64_t find_end(const Bytes& bytes) {
  if (bytes.size() >= kEndSize) {
    const std::uint64_t last = bytes.size() - kEndSize;
    const std::uint64_t first = last > 0xffff ? last - 0xffff : 0;
    for (std::uint64_t at = last + 1; at-- > first;) {
      if (bytes.at<std::uint32_t>(at) != kEnd) continue;
      if (bytes.at<std::uint16_t>(at + 20) == last - at) return at;
    }
  }
  bytes.refuse("it has no directory at its end: it is cut off or no zip file.");
}

Directory find_directory(const Bytes& bytes) {
  const std::uint64_t end = find_end(bytes);
  Directory d = {bytes.at<std::uint32_t>(end + 16), bytes.at<std::uint32_t>(end + 12),
                 bytes.at<std::uint16_t>(end + 10)};
  std::uint64_t limit = end;
  const bool several =
      bytes.at<std::uint16_t>(end + 4) != 0 || bytes.at<std::uint16_t>(end + 6) != 0;
  if (several) bytes.refuse("it is a part of several.");
  if (end >= kLocator64Size && bytes.at<std::uint32_t>(end - kLocator64Size) == kLocator64) {
    const auto at = bytes.at<std::uint64_t>(end - kLocator64Size + 8);
    if (!bytes.holds(at, kEnd64Size) || at > end - kLocator64Size - kEnd64Size ||
        bytes.at<std::uint32_t>(at) != kEnd64) {
      bytes.refuse("its zip64 record would be at byte ", at, ", where there is none.");
    }
    d = {bytes.at<std::uint64_t>(at + 48), bytes.at<std::uint64_t>(at + 40),
         bytes.at<std::uint64_t>(at + 32)};
    limit = at;
  }
  if (d.begin > limit || d.size != limit - d.begin) {
    bytes.refuse("its directory would be ", d.size, " bytes at ", d.begin, ", but ", limit,
                 " bytes lie before what ends it. It is damaged.");
  }
  if (d.entries > kMaxEntries) bytes.refuse("it would have ", d.entries, " entries.");
  return d;
}

struct Header {
  std::string name;
  std::uint64_t size = 0, packed = 0, local = 0, next = 0;
  std::uint32_t crc = 0;
};

/// The numbers of an entry that stand in its zip64 record, which lists those alone that are missing.
void read_zip64(const Bytes& bytes, std::uint64_t at, std::uint64_t end, Header& h) {
  while (end - at >= 4) {
    const auto id = bytes.at<std::uint16_t>(at), length = bytes.at<std::uint16_t>(at + 2);
    at += 4;
    if (length > end - at) bytes.refuse("'", h.name, "': its extra fields are damaged.");
    if (id == 1) {
      std::uint64_t left = length;
      for (std::uint64_t* number : {&h.size, &h.packed, &h.local}) {
        if (*number != kIn64) continue;
        if (left < 8) bytes.refuse("'", h.name, "': its zip64 record is too short.");
        *number = bytes.at<std::uint64_t>(at + length - left);
        left -= 8;
      }
      return;
    }
    at += length;
  }
}

Header read_header(const Bytes& bytes, std::uint64_t at, std::uint64_t end) {
  if (end - at < kCentralSize || bytes.at<std::uint32_t>(at) != kCentral) {
    bytes.refuse("there is no entry at byte ", at, " of its directory: it is damaged.");
  }
  const std::uint64_t name = bytes.at<std::uint16_t>(at + 28),
                      extra = bytes.at<std::uint16_t>(at + 30),
                      comment = bytes.at<std::uint16_t>(at + 32);
  if (name + extra + comment > end - at - kCentralSize) {
    bytes.refuse("the entry at byte ", at, " does not fit into its directory: it is damaged.");
  }
  Header h;
  h.name = bytes.text(at + kCentralSize, name);
  h.crc = bytes.at<std::uint32_t>(at + 16);
  h.packed = bytes.at<std::uint32_t>(at + 20);
  h.size = bytes.at<std::uint32_t>(at + 24);
  h.local = bytes.at<std::uint32_t>(at + 42);
  h.next = at + kCentralSize + name + extra + comment;
  const auto flags = bytes.at<std::uint16_t>(at + 8), method = bytes.at<std::uint16_t>(at + 10);
  read_zip64(bytes, at + kCentralSize + name, at + kCentralSize + name + extra, h);
  if ((flags & 1) != 0) bytes.refuse("'", h.name, "' is encrypted.");
  if (method != 0 || h.packed != h.size) {
    bytes.refuse("'", h.name, "' is compressed (method ", method, ", ", h.packed, " of ", h.size,
                 " bytes), which is not read. torch.save does not compress.");
  }
  return h;
}

/// Where the data of an entry begins: behind a header of its own, which repeats the name.
std::uint64_t find_data(const Bytes& bytes, const Header& h, std::uint64_t limit) {
  if (h.local > limit || limit - h.local < kLocalSize ||
      bytes.at<std::uint32_t>(h.local) != kLocal) {
    bytes.refuse("'", h.name, "' would be at byte ", h.local, ", where no entry begins.");
  }
  const std::uint64_t name = bytes.at<std::uint16_t>(h.local + 26),
                      extra = bytes.at<std::uint16_t>(h.local + 28);
  const std::uint64_t begin = h.local + kLocalSize + name + extra;
  if (begin > limit || h.size > limit - begin) {
    bytes.refuse("'", h.name, "' would be ", h.size, " bytes at ", begin, ", but only ", limit,
                 " lie before the directory.");
  }
  if (bytes.text(h.local + kLocalSize, name) != h.name) {
    bytes.refuse("'", h.name, "' is called otherwise where it lies.");
  }
  return begin;
}

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0xedb88320u : 0u);
      t[i] = c;
    }
    return t;
  }();
  std::uint32_t crc = 0xffffffff;
  for (const std::byte b : bytes)
    crc = (crc >> 8) ^ table[(crc ^ std::to_integer<std::uint32_t>(b)) & 0xff];
  return crc ^ 0xffffffff;
}

ZipFile ZipFile::parse(const MappedFile& file) {
  ZipFile result;
  result.file_ = file;
  const Bytes bytes(file);
  const Directory directory = find_directory(bytes);
  const std::uint64_t end = directory.begin + directory.size;
  std::uint64_t at = directory.begin;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    const Header h = read_header(bytes, at, end);
    const Entry entry = {find_data(bytes, h, directory.begin), h.size, h.crc};
    if (!result.entries_.emplace(h.name, entry).second) {
      bytes.refuse("'", h.name, "' is in it twice.");
    }
    at = h.next;
  }
  if (at != end) bytes.refuse("its directory has more than the ", directory.entries, " entries.");
  return result;
}

const ZipFile::Entry* ZipFile::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

std::span<const std::byte> ZipFile::bytes(std::string_view name) const {
  const Entry* entry = find(name);
  if (!entry) {
    throw Error(GRAFT_E_INVALID,
                cat("zip file '", file_.path().string(), "' has no entry '", name, "'."));
  }
  const auto bytes = file_.bytes().subspan(entry->begin, entry->size);
  if (crc32(bytes) != entry->crc) {
    throw Error(GRAFT_E_INVALID,
                cat("zip file '", file_.path().string(), "': '", name,
                    "' has another checksum than its directory says: it is damaged."));
  }
  return bytes;
}

}  // namespace graft::core
