// The programs of inference: scoring whole texts, and running tokens over a key-value cache.
#pragma once
#include <memory>
#include <vector>

#include "core/adapt/attach.hpp"
#include "core/model/model.hpp"
#include "core/optim/optimizer.hpp"

namespace graft::core {

/// Log-probabilities of a text, and the logits after its last token.
struct Scored {
  std::vector<float> logprobs;     ///< of token i + 1 given those up to i; one less than tokens
  std::vector<float> last_logits;  ///< [vocab], only if asked for
};

/// One thread. Programs are recorded when a larger text than before comes.
class InferenceEngine {
 public:
  /// `adapters` may have no entries. Loads the weights.
  InferenceEngine(Device device, Model model, std::unique_ptr<AdapterSet> adapters,
                  const std::vector<std::vector<float>>& parameter_values,
                  const std::vector<double>& strengths);

  const Model& model() const { return model_; }
  const AdapterSet& adapters() const { return *adapters_; }
  const Device& device() const { return device_; }

  Scored score(const std::vector<std::int32_t>& ids, bool last_logits);

  /// Which adapters take part from now on; all do at first. Empties the cache.
  void use(const std::vector<bool>& active);

  /// Empties the cache and makes room for `capacity` tokens.
  void begin(std::int64_t capacity);
  /// Runs tokens behind those in the cache; the logits after the last of them.
  std::vector<float> feed(const std::vector<std::int32_t>& ids);

 private:
  struct Recorded {
    std::unique_ptr<Program> program;
    ValueId losses = kNone, logits = kNone;
    std::int64_t rows = 0;
  };
  /// `follows`: rows come behind others in the cache, so virtual tokens are there already.
  Recorded record(std::int64_t rows, std::int64_t cache_rows, bool scores, bool follows);
  void bind(Program& program);
  std::vector<float> read_floats(const Recorded& r, ValueId id) const;
  std::vector<float> feed_chunk(Recorded& r, const std::vector<std::int32_t>& ids,
                                const VirtualTokens& more);

  Device device_;
  Model model_;
  std::unique_ptr<AdapterSet> adapters_;
  ParameterLayout layout_;
  ParameterMemory memory_;
  std::vector<double> strengths_;
  std::vector<bool> active_;
  VirtualTokens virtual_tokens_;                 // of the active ones
  Recorded scoring_, first_, prefill_, decode_;  // first_: only with virtual tokens
  std::int64_t capacity_ = 0, filled_ = 0;
  std::vector<std::int32_t> fed_;  // since begin()
  std::int32_t rope_table_ = 0;    // of what is in the cache
  std::vector<std::shared_ptr<void>> cache_;
};

}  // namespace graft::core
