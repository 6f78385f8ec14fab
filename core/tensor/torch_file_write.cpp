// What torch.save writes for {name: tensor}: protocol 2, one storage each, entries aligned to 64 bytes.
#include <cstring>
#include <limits>
#include <set>

#include "core/base/error.hpp"
#include "core/tensor/torch_file.hpp"

namespace graft::core {
namespace {

constexpr std::size_t kAlignment = 64;

template <class Number>
void put(std::string& to, Number value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  to.append(bytes, sizeof value);
}

void put_text(std::string& to, std::string_view text) {
  to += 'X';
  put(to, static_cast<std::uint32_t>(text.size()));
  to += text;
}

void put_number(std::string& to, std::int64_t value) {
  if (value >= 0 && value < 256) {
    to += 'K';
    put(to, static_cast<std::uint8_t>(value));
  } else if (value >= 0 && value <= std::numeric_limits<std::int32_t>::max()) {
    to += 'J';
    put(to, static_cast<std::int32_t>(value));
  } else {
    to += "\x8a\x08";
    put(to, value);
  }
}

void put_numbers(std::string& to, const std::vector<std::int64_t>& values) {
  to += '(';
  for (const std::int64_t v : values) put_number(to, v);
  to += 't';
}

std::int64_t count_of(const SafetensorsItem& item) {
  std::int64_t count = 1;
  for (const std::int64_t extent : item.shape) {
    if (extent < 0 || __builtin_mul_overflow(count, extent, &count)) {
      throw Error(GRAFT_E_INVALID, cat("'", item.name, "' has no possible size."));
    }
  }
  return count;
}

std::string pickle_of(const std::vector<SafetensorsItem>& items) {
  std::string out = "\x80\x02}(";
  for (std::size_t i = 0; i < items.size(); ++i) {
    const SafetensorsItem& item = items[i];
    put_text(out, item.name);
    out += "ctorch._utils\n_rebuild_tensor_v2\n((";
    put_text(out, "storage");
    out += "ctorch\nFloatStorage\n";
    put_text(out, std::to_string(i));
    put_text(out, "cpu");
    put_number(out, count_of(item));
    out += "tQK";
    out += '\0';
    put_numbers(out, item.shape);
    std::vector<std::int64_t> strides(item.shape.size(), 1);
    for (std::size_t axis = strides.size(); axis-- > 1;) {
      strides[axis - 1] = strides[axis] * item.shape[axis];
    }
    put_numbers(out, strides);
    out +=
        "\x89"
        "ccollections\nOrderedDict\n)RtR";
  }
  return out + "u.";
}

/// The headers of entries and the directory, as far as files below 4 GiB need them.
class ZipWriter {
 public:
  explicit ZipWriter(const Sink& sink) : sink_(sink) {}

  void add(const std::string& name, std::string_view data) {
    const auto crc = crc32({reinterpret_cast<const std::byte*>(data.data()), data.size()});
    const std::uint64_t begin = at_;
    std::size_t padding = 4;  // id and length of a field that fills
    while ((begin + 30 + name.size() + padding) % kAlignment != 0) ++padding;
    std::string header;
    put(header, std::uint32_t{0x04034b50});
    put_common(header, crc, data.size(), name.size());
    put(header, static_cast<std::uint16_t>(padding));
    header += name;
    header += "FB";
    put(header, static_cast<std::uint16_t>(padding - 4));
    header.append(padding - 4, 'Z');
    write(header);
    write(data);
    put(directory_, std::uint32_t{0x02014b50});
    put(directory_, std::uint16_t{0});  // made by
    put_common(directory_, crc, data.size(), name.size());
    directory_.append(2 + 2 + 2 + 2 + 4, '\0');  // extra, comment, disk, attributes
    put(directory_, static_cast<std::uint32_t>(begin));
    directory_ += name;
    ++entries_;
  }

  void finish() {
    const std::uint64_t begin = at_;
    std::string end;
    put(end, std::uint32_t{0x06054b50});
    put(end, std::uint32_t{0});  // disks
    put(end, entries_);
    put(end, entries_);
    put(end, static_cast<std::uint32_t>(directory_.size()));
    put(end, static_cast<std::uint32_t>(begin));
    put(end, std::uint16_t{0});  // comment
    write(directory_);
    write(end);
  }

 private:
  static void put_common(std::string& to, std::uint32_t crc, std::size_t size, std::size_t name) {
    put(to, std::uint16_t{20});      // needs version 2.0
    put(to, std::uint16_t{0x0800});  // names are UTF-8
    put(to, std::uint16_t{0});       // stored
    put(to, std::uint16_t{0});       // time
    put(to, std::uint16_t{0x21});    // date: 1980-01-01
    put(to, crc);
    put(to, static_cast<std::uint32_t>(size));
    put(to, static_cast<std::uint32_t>(size));
    put(to, static_cast<std::uint16_t>(name));
  }
  void write(std::string_view bytes) {
    sink_(bytes.data(), bytes.size());
    at_ += bytes.size();
    if (at_ > std::numeric_limits<std::uint32_t>::max() - directory_.size()) {
      throw Error(GRAFT_UNSUPPORTED, "files of torch.save are written up to 4 GiB.");
    }
  }

  const Sink& sink_;
  std::uint64_t at_ = 0;
  std::uint16_t entries_ = 0;
  std::string directory_;
};

}  // namespace

void write_torch_file(const fs::path& path, const std::vector<SafetensorsItem>& items) {
  std::set<std::string_view> names;
  for (const SafetensorsItem& item : items) {
    if (item.dtype != GRAFT_F32 || !names.insert(item.name).second || items.size() > 60000) {
      throw Error(GRAFT_E_INVALID, cat("'", path.string(), "': '", item.name,
                                       "' is no F32 tensor, or there twice, or one of too many."));
    }
  }
  write_file_atomically(path, [&](const Sink& sink) {
    ZipWriter zip(sink);
    const std::string root = path.stem().string() + "/";
    zip.add(root + "data.pkl", pickle_of(items));
    zip.add(root + "byteorder", "little");
    for (std::size_t i = 0; i < items.size(); ++i) {
      std::string data;
      items[i].write([&](const void* bytes, std::size_t size) {
        data.append(static_cast<const char*>(bytes), size);
      });
      if (data.size() != static_cast<std::uint64_t>(count_of(items[i])) * sizeof(float)) {
        throw Error(GRAFT_E_INTERNAL, cat("'", items[i].name, "' has ", data.size(), " bytes."));
      }
      zip.add(cat(root, "data/", i), data);
    }
    zip.add(root + "version", "3\n");
    zip.finish();
  });
}

}  // namespace graft::core
