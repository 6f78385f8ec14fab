#include "core/model/model.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include "core/base/error.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/expand.hpp"

namespace graft::core {
namespace {

bool aligned_for(const HostTensor& t, std::uint32_t dtype) {
  return reinterpret_cast<std::uintptr_t>(t.bytes.data()) % dtype_size(dtype) == 0;
}

std::uint64_t bytes_as(const HostTensor& t, std::uint32_t dtype) {
  return static_cast<std::uint64_t>(t.elements()) * dtype_size(dtype);
}

/// The mapped source of an expanded tensor is not needed any more: its pages need not stay resident.
void forget_pages(const HostTensor& t) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(t.bytes.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(t.bytes.data() + t.bytes.size()) / page * page;
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

Model Model::open(const fs::path& path, const Device& device, std::uint32_t dtype) {
  Model m;
  m.checkpoint_ = std::make_shared<Checkpoint>(Checkpoint::open(path));
  m.device_ = device;
  m.dtype_ = dtype;
  m.weights_ = std::make_shared<std::vector<Weight>>();
  for (const TensorNeed& need : decoder_tensors(m.config())) {
    Weight w;
    w.tensor = m.checkpoint_->tensor(need.name);
    w.shape = need.shape;
    w.in_place = device.has(GRAFT_CAP_HOST_MEMORY) && w.tensor.plain() && w.tensor.dtype == dtype &&
                 aligned_for(w.tensor, dtype);
    m.index_[need.name] = m.weights_->size();
    m.weights_->push_back(std::move(w));
  }
  return m;
}

std::uint64_t Model::mapped_bytes() const {
  std::uint64_t sum = 0;
  for (const Weight& w : *weights_) sum += w.in_place ? w.tensor.bytes.size() : 0;
  return sum;
}

std::uint64_t Model::expanded_bytes() const {
  std::uint64_t sum = 0;
  for (const Weight& w : *weights_) sum += w.in_place ? 0 : bytes_as(w.tensor, dtype_);
  return sum;
}

void Model::load(int threads) {
  for (Weight& w : *weights_) {
    if (w.in_place || w.memory) continue;
    const std::uint64_t bytes = bytes_as(w.tensor, dtype_);
    w.memory = device_.allocate(bytes);
    if (device_.has(GRAFT_CAP_HOST_MEMORY)) {
      expand(w.tensor, dtype_, w.memory.get(), threads);
      forget_pages(w.tensor);
    } else {
      const HostTensor host = expanded(w.tensor, dtype_, threads);
      device_.copy_in(w.memory.get(), host.bytes.data(), bytes);
      device_.wait();
    }
  }
}

std::size_t Model::index_of(const std::string& name) const {
  const auto found = index_.find(name);
  if (found != index_.end()) return found->second;
  if (name == config().head_name() && config().tied_head) {
    return index_.at(config().embedding_name());
  }
  throw Error(GRAFT_E_NOT_FOUND, cat("the model has no tensor '", name, "'."));
}

WeightLookup Model::lookup() const {
  return [self = *this](Recorder& r, const std::string& name) {
    const std::size_t i = self.index_of(name);
    const Weight& w = (*self.weights_)[i];
    Shape shape;
    for (const std::int64_t d : w.shape) shape.push_back(d);
    return r.leaf(Role::kWeight, static_cast<std::int32_t>(i), self.dtype_, shape, w.tensor.name);
  };
}

void Model::bind(Program& program) const {
  for (const Value& v : program.plan().graph.values) {
    if (v.role != Role::kWeight) continue;
    const Weight& w = weights_->at(static_cast<std::size_t>(v.slot));
    const void* data =
        w.in_place ? static_cast<const void*>(w.tensor.bytes.data()) : w.memory.get();
    if (!data) throw Error(GRAFT_E_STATE, "the model's weights are not loaded yet.");
    program.bind(Role::kWeight, v.slot, const_cast<void*>(data));  // kernels only read it
  }
}

std::vector<float> Model::values(const std::string& name) const {
  const HostTensor& t = (*weights_)[index_of(name)].tensor;
  std::vector<float> result(static_cast<std::size_t>(t.elements()));
  expand(t, GRAFT_F32, result.data(), 1);
  return result;
}

}  // namespace graft::core
