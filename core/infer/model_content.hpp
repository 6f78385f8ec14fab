// What is written when a model is merged or quantized, and where to.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/base/json.hpp"
#include "core/model/checkpoint.hpp"

namespace graft::core {

/// The tensors of a checkpoint by their Hugging Face names, of which some have other values.
struct ModelContent {
  const Checkpoint& checkpoint;
  int threads = 1;
  bool untied = false;                            ///< the head is no longer the embedding
  std::function<bool(const std::string&)> other;  ///< which have; none where it is empty
  std::function<std::vector<float>(const std::string&)> values =
      {};  ///< of these, in the order of the shape

  bool changes(const std::string& name) const { return other && other(name); }
  /// As the checkpoint has it; an untied head as the embedding is there.
  HostTensor original(const std::string& name) const;
  std::vector<float> floats(const std::string& name) const;
};

/// What quantizing takes from values.
class Loss {
 public:
  void add(const graft_quant& blocks, const float* values);
  /// {"name", "format", "largest", "mean"}
  Json json(const std::string& name) const;

 private:
  std::string format_;
  double largest_ = 0, sum_ = 0;
  std::int64_t count_ = 0;
};

/// Throws GRAFT_E_BUSY where something is there. A folder that is empty may be.
void require_new(const fs::path& output);
/// Fills a folder beside `output` and gives it that name when it is whole.
void write_folder(const fs::path& output, const std::function<void(const fs::path&)>& fill);
/// Copies everything but the weights and config.json.
void copy_other_files(const fs::path& from, const fs::path& to);

}  // namespace graft::core
