#include "core/tensor/torch_file.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/error.hpp"
#include "core/tensor/torch_pickle.hpp"

namespace graft::core {
namespace {

constexpr std::string_view kPickle = "data.pkl";

bool in_order(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

/// The elements in the order of the shape. All of them lie in `bytes`.
std::shared_ptr<std::vector<std::byte>> gathered(std::span<const std::byte> bytes,
                                                 std::size_t element, std::int64_t offset,
                                                 const std::vector<std::int64_t>& shape,
                                                 const std::vector<std::int64_t>& strides) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  auto out = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(count) * element);
  std::vector<std::int64_t> index(shape.size(), 0);
  std::int64_t at = offset;
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(out->data() + static_cast<std::size_t>(i) * element,
                bytes.data() + static_cast<std::size_t>(at) * element, element);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}

}  // namespace

TorchFile TorchFile::open(const fs::path& path) {
  return parse(MappedFile::open(path));
}

TorchFile TorchFile::parse(const MappedFile& file) {
  const std::string who = cat("file of torch.save '", file.path().string(), "'");
  const auto refuse = [&](const auto&... what) {
    throw Error(GRAFT_E_INVALID, cat(who, ": ", what...));
  };
  if (file.text().starts_with("\x80\x02")) {
    refuse("it is as torch wrote before 1.6, a bare pickle, which is not read. Save it again.");
  }
  TorchFile result;
  result.file_ = file;
  result.zip_ = ZipFile::parse(file);
  std::string root;
  std::size_t pickles = 0;
  for (const auto& [name, entry] : result.zip_.entries()) {
    const std::size_t slash = name.find('/');
    if (slash == name.npos || std::string_view(name).substr(slash + 1) != kPickle) continue;
    root = name.substr(0, slash + 1);
    ++pickles;
  }
  if (pickles != 1) refuse("it has ", pickles, " entries '<name>/", kPickle, "'; one is expected.");
  const auto text = [&](const std::string& name) {
    const auto bytes = result.zip_.bytes(name);
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  if (result.zip_.find(root + "byteorder") && text(root + "byteorder") != "little") {
    refuse("its numbers are big-endian, which is not read.");
  }
  for (torch::PickledTensor& t : torch::read_pickle(text(root + std::string(kPickle)), who)) {
    const std::string entry = cat(root, "data/", t.storage);
    const ZipFile::Entry* found = result.zip_.find(entry);
    if (!found) refuse("'", t.name, "' lies in the entry '", entry, "', which is not there.");
    const auto wanted = safetensors::byte_count(*t.type, {t.storage_elements});
    if (!wanted || *wanted != found->size) {
      refuse("'", t.name, "' lies in ", t.storage_elements, " elements ", t.type->name, ", but '",
             entry, "' has ", found->size, " bytes.");
    }
    Tensor tensor{entry, t.type->name, t.offset, std::move(t.shape), std::move(t.strides)};
    if (!result.entries_.emplace(t.name, std::move(tensor)).second) {
      refuse("'", t.name, "' is in it twice.");
    }
    result.names_.push_back(std::move(t.name));
  }
  return result;
}

const TorchFile::Tensor& TorchFile::entry(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    throw Error(GRAFT_E_NOT_FOUND,
                cat("file of torch.save '", path().string(), "' has no tensor '", name, "'."));
  }
  return found->second;
}

const std::vector<std::int64_t>& TorchFile::shape(std::string_view name) const {
  return entry(name).shape;
}

std::string_view TorchFile::type(std::string_view name) const {
  return entry(name).type;
}

HostTensor TorchFile::tensor(std::string_view name) const {
  const Tensor& found = entry(name);
  const safetensors::Type* type = safetensors::find_type(found.type);
  if (type->dtype == 0) {
    throw Error(GRAFT_UNSUPPORTED, cat("file of torch.save '", path().string(), "': '", name,
                                       "' is ", found.type, ", which graft does not read."));
  }
  HostTensor result;
  result.dtype = type->dtype;
  result.name = name;
  result.shape = found.shape;
  const std::size_t element = type->bits / 8;
  const auto bytes = zip_.bytes(found.entry);
  if (result.elements() == 0) return result;
  if (in_order(found.shape, found.strides)) {
    result.bytes = bytes.subspan(static_cast<std::size_t>(found.offset) * element,
                                 static_cast<std::size_t>(result.elements()) * element);
    result.owner = std::make_shared<MappedFile>(file_);
    return result;
  }
  const auto copy = gathered(bytes, element, found.offset, found.shape, found.strides);
  result.bytes = *copy;
  result.owner = copy;
  return result;
}

}  // namespace graft::core
