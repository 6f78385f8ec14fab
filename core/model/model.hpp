// A checkpoint's tensors as the frozen weights of recordings.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/graph/program.hpp"
#include "core/model/checkpoint.hpp"
#include "core/model/decoder.hpp"
#include "core/model/quantization.hpp"

namespace graft::core {

/// The base model: its tensors, in the type they are stored in where that is the compute dtype or a
/// block format that the device reads, else expanded once; or quantized while they are loaded. Copies
/// share everything.
class Model {
 public:
  /// Opens and checks; loads nothing yet. Throws what Checkpoint::open throws.
  static Model open(const fs::path& path, const Device& device, std::uint32_t dtype,
                    const Quantization& quantization = {});

  const DecoderConfig& config() const { return checkpoint_->config(); }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  std::uint32_t dtype() const { return dtype_; }

  /// Bytes of tensors used in place (mapped) and of those that load() allocates.
  std::uint64_t mapped_bytes() const;
  std::uint64_t expanded_bytes() const;
  /// Those of the mapped ones that are read by looking rows up alone: an embedding that is not the head too.
  std::uint64_t looked_up_bytes() const;
  const Quantization& quantization() const { return quantization_; }
  /// How the tensors lie in memory, by name of the format: "nf4" or "bf16"; and their bytes.
  std::map<std::string, std::uint64_t> formats() const;
  /// Formats of the file that the device does not read: their tensors are expanded.
  const std::vector<std::string>& not_read() const { return not_read_; }

  /// Makes the data ready, `threads` at work. Once.
  void load(int threads);

  /// Weights as kWeight leaves. A tied head's "lm_head.weight" is the embedding.
  WeightLookup lookup() const;
  /// Binds the weights that the program's recording reads. After load().
  void bind(Program& program) const;

  /// How a tensor of the model lies in memory, if that is in blocks; else null.
  const graft_quant* quant(const std::string& name) const;

  /// A tensor's elements as f32, for parameters that start as copies of it: what is computed with.
  /// "<module>.weight.lost" is what quantizing took from a weight. After load() for what it quantizes.
  std::vector<float> values(const std::string& name) const;

 private:
  enum class Storage : std::uint8_t {
    kInPlace,   ///< the file's bytes, in the compute dtype
    kExpanded,  ///< memory in the compute dtype
    kMapped,    ///< the file's blocks
    kCopied,    ///< the file's blocks, their rows in another order or on the device
    kMade       ///< blocks that load() makes
  };
  struct Weight {
    HostTensor tensor;
    std::vector<std::int64_t> shape;
    Storage storage = Storage::kExpanded;
    std::shared_ptr<graft_quant> quant;  ///< of blocks; its pointers are set by load()
    std::shared_ptr<void> memory;
  };

  graft_quant wanted_shape(const Weight& w) const;
  void choose_storage(Weight& w, bool linear);
  bool reads(const graft_quant& shape) const;
  std::uint64_t bytes_of(const Weight& w) const;
  void load_blocks(Weight& w, int threads);
  std::vector<float> as_computed(const Weight& w) const;
  std::size_t index_of(const std::string& name) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  Device device_;
  std::uint32_t dtype_ = 0;
  Quantization quantization_;
  std::vector<std::string> not_read_;
  std::shared_ptr<std::vector<Weight>> weights_;
  std::map<std::string, std::size_t> index_;
};

}  // namespace graft::core
