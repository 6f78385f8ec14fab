// Methods attached to the sites of a model: the parameters they declare, and the recordings they
// take part in.
#pragma once
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/adapt/observe.hpp"
#include "core/adapt/parameters.hpp"
#include "core/base/json.hpp"
#include "core/base/log.hpp"
#include "core/model/sites.hpp"

namespace graft::core {

/// One entry of "methods", validated.
struct MethodEntry {
  std::string name;  ///< of the adapter, unique among the entries
  graft_method_api api{};
  Json options;         ///< the plugin's options, defaults filled in
  Json host;            ///< the host's: targets, exclude, layers, modules_to_save
  bool loaded = false;  ///< from an adapter folder, whose targets may name what this model lacks
  /// What stands in the place of options for the plugin: token ids of those that the schema marks
  /// "x-graft-tokens", {"name", "path", "options"} of the folders of those marked "x-graft-adapters".
  Json tokens = Json::object();
  std::vector<std::string> fuses;  ///< names of the adapters that this one fuses

  /// The options as the plugin reads them.
  Json seen() const;
};

/// A tensor of the base model that is trained: as modules_to_save, or by a method.
struct BaseTensor {
  std::string name;  ///< "lm_head.weight"
  std::vector<std::int64_t> shape;
  std::string tied_to;      ///< the tensor that it is, unless it is trained by itself
  bool transposed = false;  ///< files have it the other way round
};

/// Rows that methods put before each sequence.
struct VirtualTokens {
  std::int64_t prompt = 0;  ///< tokens, before the embeddings of the sequence's own
  std::int64_t prefix = 0;  ///< keys and values, in every layer
  std::int64_t total() const { return prompt + prefix; }
};

/// Methods in the order of the configuration: the first is innermost. Not copyable: plugins hold
/// pointers into it.
class AdapterSet {
 public:
  /// Creates the instances, matches and attaches. `tensors` are those of the base model. Throws what
  /// matching and plugins throw; everything attached until then is detached. `pass`: for methods that
  /// begin from data.
  AdapterSet(std::vector<SiteInfo> sites, std::vector<MethodEntry> entries,
             const std::vector<BaseTensor>& tensors, const Log& log, InputPass pass = {});
  ~AdapterSet();
  AdapterSet(const AdapterSet&) = delete;
  AdapterSet& operator=(const AdapterSet&) = delete;

  const std::vector<Parameter>& parameters() const;
  const std::vector<MethodEntry>& entries() const;
  const std::vector<SiteInfo>& sites() const;
  /// Those of all entries, or of the active ones.
  VirtualTokens virtual_tokens() const;
  VirtualTokens virtual_tokens(const std::vector<bool>& active) const;
  /// Sites that entry `i` is attached to.
  std::vector<std::size_t> attached(std::size_t entry) const;

  struct State;
  State& state() { return *state_; }
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// Where the parameters and strengths of a set stand among those of all sets of a recording.
struct RecordingPlace {
  std::int32_t first_parameter = 0;
  std::size_t first_entry = 0;
  std::int32_t group = -1;  ///< of rows that the set's methods see; -1: all rows
};

/// The attached methods within one recording. Parameters come as Role::kParameter leaves, slot =
/// index; entry i's strength is the scalar input "strength.<i>", both counted from its place on.
class AdapterRecording {
 public:
  /// `entries`: which take part. With `train` the trained parameters get gradients. `dtype` is that of
  /// the computation.
  AdapterRecording(AdapterSet& set, Recorder& recorder, std::uint32_t dtype, bool train,
                   std::vector<bool> entries, RecordingPlace place = {});
  ~AdapterRecording();

  /// The rows of this recording follow others of the same sequences in a cache: virtual tokens are
  /// there already.
  void follows(bool on);

  SiteRunner runner();
  /// Whether an active entry is attached to the site of that name.
  bool at_site(const std::string& name) const;
  /// The sum of the terms [1] that active methods add to the loss, in f32 (f64 where that is computed
  /// in); kNone if there are none. To be recorded before the model.
  ValueId loss_terms();
  /// Base tensors that an active entry trains come from the parameters, the others from `base`.
  WeightLookup lookup(WeightLookup base);

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace graft::core
