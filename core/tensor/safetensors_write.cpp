#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.hpp"
#include "core/tensor/safetensors.hpp"
#include "core/tensor/safetensors_format.hpp"

namespace graft::core {

using namespace safetensors;

namespace {

// Place in the format's list of types, by which the writer sorts.
std::size_t type_rank(std::uint32_t dtype, std::string_view name) {
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (types[i].dtype == dtype && dtype != 0) return i;
  }
  throw Error(GRAFT_E_INVALID,
              cat("write_safetensors: '", name, "' has a dtype that the format does not have."));
}

std::string quoted(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(GRAFT_E_INVALID, "write_safetensors: a name or metadata text is not UTF-8.");
  }
}

}  // namespace

void write_safetensors(const fs::path& path, std::vector<SafetensorsItem> items,
                       const Safetensors::Metadata& metadata) {
  std::sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
    const std::size_t rank_a = type_rank(a.dtype, a.name), rank_b = type_rank(b.dtype, b.name);
    return rank_a != rank_b ? rank_a > rank_b : a.name < b.name;
  });
  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      header += cat(header.back() == '{' ? "" : ",", quoted(key), ":", quoted(value));
    }
    header += "}";
  }
  std::vector<std::uint64_t> sizes;
  std::set<std::string_view> names;
  std::uint64_t at = 0;
  for (const SafetensorsItem& item : items) {
    if (item.name == "__metadata__" || !names.insert(item.name).second) {
      throw Error(GRAFT_E_INVALID,
                  cat("write_safetensors: two tensors cannot be called '", item.name, "'."));
    }
    const Type& type = types[type_rank(item.dtype, item.name)];
    const auto size = byte_count(type, item.shape);
    if (!size) throw Error(GRAFT_E_INVALID, cat("write_safetensors: '", item.name, "' too large."));
    header += cat(header == "{" ? "" : ",", quoted(item.name), ":{\"dtype\":\"", type.name,
                  "\",\"shape\":[");
    for (std::size_t axis = 0; axis < item.shape.size(); ++axis) {
      header += cat(axis == 0 ? "" : ",", item.shape[axis]);
    }
    header += cat("],\"data_offsets\":[", at, ",", at + *size, "]}");
    sizes.push_back(*size);
    at += *size;
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  if (header.size() > max_header) {
    throw Error(GRAFT_E_INVALID, cat("write_safetensors: the header of '", path.string(),
                                     "' would exceed ", max_header, " bytes."));
  }
  write_file_atomically(path, [&](const Sink& sink) {
    const std::uint64_t header_size = header.size();
    sink(&header_size, sizeof header_size);
    sink(header.data(), header.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      std::uint64_t written = 0;
      items[i].write([&](const void* data, std::size_t size) {
        written += size;
        sink(data, size);
      });
      if (written != sizes[i]) {
        throw Error(GRAFT_E_INTERNAL, cat("write_safetensors: '", items[i].name, "' gave ", written,
                                          " bytes instead of ", sizes[i], "."));
      }
    }
  });
}

void write_safetensors(const fs::path& path, std::span<const HostTensor> tensors,
                       const Safetensors::Metadata& metadata) {
  std::vector<SafetensorsItem> items;
  for (const HostTensor& tensor : tensors) {
    if (!tensor.plain()) {
      throw Error(GRAFT_E_INVALID, cat("write_safetensors: '", tensor.name,
                                       "' is stored in blocks or reordered; expand it first."));
    }
    items.push_back(
        {tensor.name, tensor.dtype, tensor.shape, [bytes = tensor.bytes](const Sink& s) {
           if (!bytes.empty()) s(bytes.data(), bytes.size());
         }});
  }
  write_safetensors(path, std::move(items), metadata);
}

}  // namespace graft::core
