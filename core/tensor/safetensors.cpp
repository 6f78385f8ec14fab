#include "core/tensor/safetensors.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "core/base/error.hpp"
#include "core/tensor/safetensors_format.hpp"
#include "core/tensor/safetensors_header.hpp"

namespace graft::core {

using namespace safetensors;

Safetensors Safetensors::open(const fs::path& path) {
  return parse(MappedFile::open(path));
}

Safetensors Safetensors::parse(const MappedFile& file) {
  const auto refuse = [&](const auto&... what) {
    throw Error(GRAFT_E_INVALID, cat("safetensors file '", file.path().string(), "': ", what...));
  };
  const std::string_view text = file.text();
  if (text.size() < 8) refuse("it has ", text.size(), " bytes, a header needs at least 8.");
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, text.data(), 8);
  if (header_size > max_header) {
    refuse("its header would have ", header_size, " bytes; at most ", max_header,
           " are allowed. It is damaged or no safetensors file.");
  }
  if (header_size > text.size() - 8) {
    refuse("its header has ", header_size, " bytes, but only ", text.size() - 8,
           " follow: the file is cut off.");
  }
  const std::string_view header = text.substr(8, header_size);
  if (header.empty() || header.front() != '{') refuse("its header does not begin with '{'.");

  HeaderReader reader;
  const bool parsed = nlohmann::json::sax_parse(header, &reader);
  if (!parsed) refuse(reader.problem, ".");

  Safetensors result;
  result.file_ = file;
  result.data_start_ = 8 + header_size;
  const std::uint64_t data_size = text.size() - result.data_start_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (Record& record : reader.records) {
    const Type* type = find_type(record.type);
    if (type == nullptr) {
      refuse("'", record.name, "' has the unknown dtype '", record.type.substr(0, 40), "'.");
    }
    const std::uint64_t begin = record.offsets[0], end = record.offsets[1];
    if (begin > end || end > data_size) {
      refuse("'", record.name, "' lies at bytes ", begin, " to ", end, ", but the file has ",
             data_size, " bytes of data: it is cut off or damaged.");
    }
    const auto wanted = byte_count(*type, record.shape);
    if (!wanted || *wanted != end - begin) {
      refuse("'", record.name, "' is ", type->name, " ", shape_text(record.shape), ", which ",
             wanted ? cat("takes ", *wanted, " bytes") : "is no possible size", ", but has ",
             end - begin, ".");
    }
    ranges.emplace_back(begin, end);
    const bool fresh =
        result.entries_.emplace(record.name, Entry{type->name, std::move(record.shape), begin, end})
            .second;
    if (!fresh) refuse("'", record.name, "' occurs twice.");
    result.names_.push_back(std::move(record.name));
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t at = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != at) {
      refuse("there is ", begin > at ? "a hole" : "an overlap", " between tensors at byte ",
             std::min(begin, at), " of the data.");
    }
    at = end;
  }
  if (at != data_size) {
    refuse("the tensors end at byte ", at, " of the data, but there are ", data_size, ".");
  }
  std::set<std::string_view> keys;
  for (const auto& [key, value] : reader.metadata) {
    if (!keys.insert(key).second) refuse("the metadata key '", key, "' occurs twice.");
  }
  result.metadata_ = std::move(reader.metadata);
  return result;
}

const Safetensors::Entry& Safetensors::entry(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    throw Error(GRAFT_E_NOT_FOUND,
                cat("safetensors file '", path().string(), "' has no tensor '", name, "'."));
  }
  return found->second;
}

const std::vector<std::int64_t>& Safetensors::shape(std::string_view name) const {
  return entry(name).shape;
}

std::string_view Safetensors::type(std::string_view name) const {
  return entry(name).type;
}

HostTensor Safetensors::tensor(std::string_view name) const {
  const Entry& found = entry(name);
  HostTensor result;
  result.dtype = find_type(found.type)->dtype;
  if (result.dtype == 0) {
    throw Error(GRAFT_UNSUPPORTED,
                cat("safetensors file '", path().string(), "': '", name, "' is ", found.type,
                    ", which graft does not read. It reads F64, F32, F16, BF16, I64, I32, I8 and "
                    "U8."));
  }
  result.name = name;
  result.shape = found.shape;
  result.bytes = file_.bytes().subspan(data_start_ + found.begin, found.end - found.begin);
  result.owner = std::make_shared<MappedFile>(file_);
  return result;
}

}  // namespace graft::core
