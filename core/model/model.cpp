#include "core/model/model.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/error.hpp"
#include "core/tensor/block_formats.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/expand.hpp"
#include "core/tensor/packed.hpp"
#include "core/tensor/quantize.hpp"

namespace graft::core {
namespace {

constexpr std::string_view kLost = ".lost";

bool aligned_for(const HostTensor& t, std::uint32_t dtype) {
  return reinterpret_cast<std::uintptr_t>(t.bytes.data()) % dtype_size(dtype) == 0;
}

std::uint64_t bytes_as(const HostTensor& t, std::uint32_t dtype) {
  return static_cast<std::uint64_t>(t.elements()) * dtype_size(dtype);
}

/// The blocks of a stored matrix, without pointers.
graft_quant stored_shape(const HostTensor& t) {
  graft_quant q{};
  if (t.quant) {
    q = *t.quant;
    q.data = nullptr;
    for (const void*& aux : q.aux) aux = nullptr;
    return q;
  }
  const BlockFormat& format = block_format(t.block_format);
  q.format = format.name.data();
  q.data_bytes = t.bytes.size();
  q.block_elements = format.elements;
  q.block_bytes = format.bytes;
  q.rows = t.rows();
  q.columns = t.columns();
  return q;
}

/// Rows of blocks in the order of the matrix.
void copy_rows(const HostTensor& t, std::byte* out) {
  const std::size_t row =
      t.bytes.size() / static_cast<std::size_t>(std::max<std::int64_t>(t.rows(), 1));
  for (std::int64_t r = 0; r < t.rows(); ++r) {
    std::memcpy(out + static_cast<std::size_t>(r) * row,
                t.bytes.data() + static_cast<std::size_t>(t.source_row(r)) * row, row);
  }
}

}  // namespace

Model Model::open(const fs::path& path, const Device& device, std::uint32_t dtype,
                  const Quantization& quantization) {
  Model m;
  m.checkpoint_ = std::make_shared<Checkpoint>(Checkpoint::open(path));
  m.device_ = device;
  m.dtype_ = dtype;
  m.quantization_ = quantization;
  m.weights_ = std::make_shared<std::vector<Weight>>();
  std::vector<std::string> linear;
  for (const SiteInfo& site : decoder_sites(m.config())) {
    const bool skipped = m.quantization_.skips(site.name);
    if (site.kind == GRAFT_SITE_LINEAR && !skipped) linear.push_back(site.name + ".weight");
  }
  std::sort(linear.begin(), linear.end());
  for (const TensorNeed& need : decoder_tensors(m.config())) {
    Weight w;
    w.tensor = m.checkpoint_->tensor(need.name);
    w.shape = need.shape;
    m.choose_storage(w, std::binary_search(linear.begin(), linear.end(), need.name));
    m.index_[need.name] = m.weights_->size();
    m.weights_->push_back(std::move(w));
  }
  return m;
}

/// Whether the device expands such blocks; what it can besides the recording finds out.
bool Model::reads(const graft_quant& shape) const {
  const graft_kernel* copy = device_.kernel("copy/1");
  if (!copy || !copy->supports) return false;
  graft_view views[2] = {};
  for (graft_view& v : views) {
    v.device_type = device_.info().device_type;
    v.ndim = 2;
    v.shape[0] = shape.rows;
    v.shape[1] = v.stride[0] = shape.columns;
    v.stride[1] = 1;
  }
  views[0].quant = &shape;
  views[0].dtype = GRAFT_QUANT;
  views[1].dtype = dtype_;
  graft_kernel_args args{};
  args.struct_size = sizeof args;
  args.n_in = args.n_out = 1;
  args.in = &views[0];
  args.out = &views[1];
  return copy->supports(device_.handle(), &args) == GRAFT_OK;
}

/// Throws GRAFT_E_INVALID naming the weight where it cannot have the wanted format.
graft_quant Model::wanted_shape(const Weight& w) const {
  try {
    return quantized_shape(quantization_.format, w.shape[0], w.shape[1], quantization_.block,
                           quantization_.nested);
  } catch (const Error& e) {
    throw Error(e.status(), cat("model.quantization: tensor '", w.tensor.name, "': ", e.what(),
                                " nf4, fp4 and int8 take rows of any length."));
  }
}

void Model::choose_storage(Weight& w, bool linear) {
  const bool host = device_.has(GRAFT_CAP_HOST_MEMORY);
  const bool stored = w.tensor.dtype == GRAFT_QUANT && !w.tensor.packed && w.shape.size() == 2 &&
                      !w.tensor.transposed;
  const auto use = [&](const graft_quant& shape, Storage storage) {
    if (!reads(shape)) {
      if (std::count(not_read_.begin(), not_read_.end(), shape.format) == 0) {
        not_read_.emplace_back(shape.format);
      }
      return false;
    }
    w.quant = std::make_shared<graft_quant>(shape);
    w.storage = storage;
    return true;
  };
  if (quantization_.makes() && linear && w.shape.size() == 2) {
    if (stored && w.tensor.block_format == quantization_.format) {
      // What the file holds in the wanted format is not quantized once more.
      if (use(stored_shape(w.tensor), host ? Storage::kMapped : Storage::kCopied)) return;
    } else if (use(wanted_shape(w), Storage::kMade)) {
      return;
    }
    throw Error(GRAFT_UNSUPPORTED,
                cat("backend '", device_.name(), "' does not read ", quantization_.format,
                    ", which model.quantization asks for."));
  }
  if (stored && quantization_.format != "none") {
    const bool in_order = w.tensor.rows_in_order();
    if (use(stored_shape(w.tensor), host && in_order ? Storage::kMapped : Storage::kCopied)) return;
  }
  if (w.tensor.packed && quantization_.format != "none") {
    const std::string_view blocks = exact_blocks(*w.tensor.packed);
    if (!blocks.empty() &&
        use(quantized_shape(blocks, w.shape[0], w.shape[1], 0, false), Storage::kMade))
      return;
    if (std::count(not_read_.begin(), not_read_.end(), w.tensor.block_format) == 0) {
      not_read_.push_back(w.tensor.block_format);
    }
  }
  const bool as_is = w.tensor.plain() && w.tensor.dtype == dtype_ && aligned_for(w.tensor, dtype_);
  w.storage = host && as_is ? Storage::kInPlace : Storage::kExpanded;
}

std::uint64_t Model::bytes_of(const Weight& w) const {
  return w.quant ? buffer_bytes(*w.quant) : bytes_as(w.tensor, dtype_);
}

std::uint64_t Model::mapped_bytes() const {
  std::uint64_t sum = 0;
  for (const Weight& w : *weights_) {
    const bool mapped = w.storage == Storage::kInPlace || w.storage == Storage::kMapped;
    sum += mapped ? bytes_of(w) : 0;
  }
  return sum;
}

std::uint64_t Model::expanded_bytes() const {
  std::uint64_t sum = 0;
  for (const Weight& w : *weights_) sum += bytes_of(w);
  return sum - mapped_bytes();
}

std::uint64_t Model::looked_up_bytes() const {
  if (config().tied_head) return 0;
  for (const SiteInfo& site : decoder_sites(config())) {
    if (site.kind != GRAFT_SITE_EMBEDDING) continue;
    const Weight& w = (*weights_)[index_of(site.name + ".weight")];
    if (w.storage == Storage::kInPlace || w.storage == Storage::kMapped) return bytes_of(w);
  }
  return 0;
}

std::map<std::string, std::uint64_t> Model::formats() const {
  std::map<std::string, std::uint64_t> all;
  for (const Weight& w : *weights_) {
    all[w.quant ? w.quant->format : std::string(dtype_name(dtype_))] += bytes_of(w);
  }
  return all;
}

void Model::load_blocks(Weight& w, int threads) {
  graft_quant& q = *w.quant;
  if (w.storage == Storage::kMapped) {
    if (w.tensor.quant) {
      q = *w.tensor.quant;
    } else {
      q.data = w.tensor.bytes.data();
    }
    w.memory = std::const_pointer_cast<void>(w.tensor.owner);
    return;
  }
  const std::uint64_t bytes = buffer_bytes(q);
  w.memory = device_.allocate(bytes);
  const bool host = device_.has(GRAFT_CAP_HOST_MEMORY);
  std::vector<std::byte> own(host ? 0 : bytes);
  graft_quant filled = q;
  set_buffers(filled, host ? w.memory.get() : own.data());
  if (w.storage == Storage::kMade && w.tensor.packed && w.tensor.packed->rows == q.rows &&
      exact_blocks(*w.tensor.packed) == q.format) {
    repack(*w.tensor.packed, q.format, static_cast<std::byte*>(const_cast<void*>(filled.data)));
  } else if (w.storage == Storage::kMade) {
    std::vector<float> values(static_cast<std::size_t>(w.tensor.elements()));
    expand(w.tensor, GRAFT_F32, values.data(), threads);
    quantize(filled, values.data(), threads, w.tensor.name);
  } else if (w.tensor.quant) {
    const graft_quant& from = *w.tensor.quant;
    std::memcpy(const_cast<void*>(filled.data), from.data, from.data_bytes);
    for (std::size_t i = 0; i < 4; ++i) {
      if (from.aux[i])
        std::memcpy(const_cast<void*>(filled.aux[i]), from.aux[i], from.aux_bytes[i]);
    }
  } else {
    copy_rows(w.tensor, static_cast<std::byte*>(const_cast<void*>(filled.data)));
  }
  if (!host) {
    device_.copy_in(w.memory.get(), own.data(), bytes);
    device_.wait();
  }
  set_buffers(q, w.memory.get());
  checkpoint_->forget();
}

void Model::load(int threads) {
  for (Weight& w : *weights_) {
    if (w.storage == Storage::kInPlace || w.memory) continue;
    if (w.quant) {
      load_blocks(w, threads);
      continue;
    }
    const std::uint64_t bytes = bytes_as(w.tensor, dtype_);
    w.memory = device_.allocate(bytes);
    if (device_.has(GRAFT_CAP_HOST_MEMORY)) {
      expand(w.tensor, dtype_, w.memory.get(), threads);
      checkpoint_->forget();
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
    return r.leaf(Role::kWeight, static_cast<std::int32_t>(i), self.dtype_, shape, w.tensor.name,
                  false, w.quant);
  };
}

void Model::bind(Program& program) const {
  for (const Value& v : program.plan().graph.values) {
    if (v.role != Role::kWeight) continue;
    const Weight& w = weights_->at(static_cast<std::size_t>(v.slot));
    const bool in_place = w.storage == Storage::kInPlace;
    const void* data = in_place ? static_cast<const void*>(w.tensor.bytes.data()) : w.memory.get();
    if (!data) throw Error(GRAFT_E_STATE, "the model's weights are not loaded yet.");
    program.bind(Role::kWeight, v.slot, const_cast<void*>(data));  // kernels only read it
  }
}

const graft_quant* Model::quant(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : (*weights_)[found->second].quant.get();
}

std::vector<float> Model::as_computed(const Weight& w) const {
  std::vector<float> result(static_cast<std::size_t>(w.tensor.elements()));
  if (w.storage != Storage::kMade) {
    expand(w.tensor, GRAFT_F32, result.data(), 1);
    return result;
  }
  if (!w.memory) throw Error(GRAFT_E_STATE, "the model's weights are not loaded yet.");
  graft_quant q = *w.quant;
  std::vector<std::byte> own;
  if (!device_.has(GRAFT_CAP_HOST_MEMORY)) {
    own.resize(buffer_bytes(q));
    device_.copy_out(own.data(), w.memory.get(), own.size());
    set_buffers(q, own.data());
  }
  expand_rows(q, GRAFT_F32, result.data(), 0, q.rows);
  return result;
}

std::vector<float> Model::values(const std::string& name) const {
  if (!name.ends_with(kLost)) return as_computed((*weights_)[index_of(name)]);
  const Weight& w = (*weights_)[index_of(name.substr(0, name.size() - kLost.size()))];
  std::vector<float> lost(static_cast<std::size_t>(w.tensor.elements()));
  if (w.storage != Storage::kMade) return lost;
  expand(w.tensor, GRAFT_F32, lost.data(), 1);
  const std::vector<float> kept = as_computed(w);
  for (std::size_t i = 0; i < lost.size(); ++i) lost[i] -= kept[i];
  return lost;
}

}  // namespace graft::core
