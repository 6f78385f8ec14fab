// The decoder: one implementation, with the switches of core/model/families.hpp.
#pragma once
#include <string>
#include <vector>

#include "core/graph/program.hpp"
#include "core/model/config.hpp"
#include "core/model/sites.hpp"

namespace graft::core {

/// A tensor that the family needs.
struct TensorNeed {
  std::string name;  ///< as in a Hugging Face checkpoint
  std::vector<std::int64_t> shape;
  bool transposed = false;  ///< a folder has it the other way round
};

/// All tensors of the model; a tied head has none of its own.
std::vector<TensorNeed> decoder_tensors(const DecoderConfig& config);

/// All sites, in the order in which a forward pass meets them.
std::vector<SiteInfo> decoder_sites(const DecoderConfig& config);

/// The frequencies of all rotations.
void set_rope_inputs(Program& program, const DecoderConfig& config);
/// "rope_table" of each row of a sequence of so many tokens, virtual ones included. Throws where the
/// model has learnt fewer positions.
std::int32_t rope_table(const DecoderConfig& config, std::int64_t length);

/// What a recording of the decoder is for.
struct DecoderMode {
  std::uint32_t dtype = 0;  ///< compute dtype
  /// Keys and values go to buffers of this many rows and are read from there; 0: the documents of
  /// the batch are whole. Buffers: Role::kBuffer, slot 2 * layer (keys) and 2 * layer + 1 (values).
  std::int64_t cache_rows = 0;
};

/// Inputs that the recordings below read, all i32: "ids" [rows], "positions" [rows],
/// "cu_q" [sequences + 1], "k_begin" and "k_len" [sequences], with a cache "cache_rows" [rows], with
/// longrope "rope_table" [rows]; set_rope_inputs() sets the others, once. Where methods put virtual tokens before the sequences,
/// there are as many rows more from the embedding on, or of keys.
struct DecoderRecording {
  const DecoderConfig& config;
  const DecoderMode& mode;
  const WeightLookup& weight;
  const SiteRunner& run;

  /// Final hidden states [rows, hidden], normalised.
  ValueId hidden(Recorder& r) const;
  /// Logits [n, vocab] of the rows named by `row_ids` [n].
  ValueId logits(Recorder& r, ValueId hidden, ValueId row_ids) const;
};

}  // namespace graft::core
