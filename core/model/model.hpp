// A checkpoint's tensors as the frozen weights of recordings.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/graph/program.hpp"
#include "core/model/checkpoint.hpp"
#include "core/model/decoder.hpp"

namespace graft::core {

/// The base model: its tensors, in the type they are stored in where that is the compute dtype and
/// the device reads host memory, else expanded once. Copies share everything.
class Model {
 public:
  /// Opens and checks; loads nothing yet. Throws what Checkpoint::open throws.
  static Model open(const fs::path& path, const Device& device, std::uint32_t dtype);

  const DecoderConfig& config() const { return checkpoint_->config(); }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  std::uint32_t dtype() const { return dtype_; }

  /// Bytes of tensors used in place (mapped) and of those that load() allocates.
  std::uint64_t mapped_bytes() const;
  std::uint64_t expanded_bytes() const;

  /// Makes the data ready, `threads` at work. Once.
  void load(int threads);

  /// Weights as kWeight leaves. A tied head's "lm_head.weight" is the embedding.
  WeightLookup lookup() const;
  /// Binds the weights that the program's recording reads. After load().
  void bind(Program& program) const;

  /// A tensor's elements as f32, for parameters that start as copies of it.
  std::vector<float> values(const std::string& name) const;

 private:
  struct Weight {
    HostTensor tensor;
    std::vector<std::int64_t> shape;
    bool in_place = false;
    std::shared_ptr<void> memory;  ///< expanded
  };

  std::size_t index_of(const std::string& name) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  Device device_;
  std::uint32_t dtype_ = 0;
  std::shared_ptr<std::vector<Weight>> weights_;
  std::map<std::string, std::size_t> index_;
};

}  // namespace graft::core
