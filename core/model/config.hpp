// What a decoder is: the switches of its family and its sizes, out of config.json or GGUF metadata.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/model/families.hpp"
#include "core/tensor/gguf.hpp"

namespace graft::core {

struct Rope {
  double theta = 10000;
  std::int64_t rotary_dim = 0;   // of a head's elements; the others are not turned
  std::string type = "default";  // default, linear, llama3, yarn or longrope
  std::vector<float> inv_freq;   // rotary_dim / 2, scaled as `type` says
  float attention_scaling = 1;   // a factor of cos and sin
  // longrope: sequences of more tokens than that have other frequencies.
  std::vector<float> long_inv_freq;
  std::int64_t original_length = 0;
  Json parameters = Json::object();  // what all this was made of: rope_theta, factor, ..
};

/// How GPTQ or AWQ has packed a folder's weights.
struct Packing {
  bool awq = false;
  std::int64_t bits = 4;
  std::int64_t group = -1;       ///< inputs that share a scale; -1: all
  std::int64_t zero_offset = 0;  ///< what is added to a zero of the file
};

struct DecoderConfig {
  const Family* family = nullptr;
  std::int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  std::int64_t vocab = 0, max_positions = 0;
  double norm_eps = 0;
  bool q_bias = false, k_bias = false, v_bias = false, o_bias = false, mlp_bias = false;
  bool tied_head = false;          // the head is the embedding
  bool parallel_residual = false;  // both sublayers read what the layer is given
  double embedding_scale = 1;      // a factor of the embeddings, rounded to the compute dtype
  double attention_softcap = 0, final_softcap = 0;  // 0: none
  std::vector<double> attention_scale;              // per layer: a factor of scores
  std::vector<std::int64_t> window;  // per layer; 0: none, else a query sees itself and window - 1
  std::vector<Rope> ropes;           // the kinds of rotation that layers have
  std::vector<std::int32_t> layer_rope;  // per layer: which of them; -1: none
  std::string activation;                // "silu", ...: the config's hidden_act
  std::vector<std::int32_t> eos;
  std::optional<std::int32_t> bos, pad;
  std::optional<Packing> packing;
  std::uint32_t storage_dtype = 0;   // what the file says it is stored in; 0: nothing that is known
  Json generation = Json::object();  // generation_config.json, or {}
  Json hf;  // config.json as read, or made of GGUF metadata; null where that cannot express it

  const ModuleNames& names() const { return family->names; }
  std::string embedding_name() const { return std::string(names().embedding) + ".weight"; }
  std::string head_name() const { return std::string(names().head) + ".weight"; }
};

/// What config.json calls an activation. Throws where it is not known, with those that are.
void check_activation(const std::string& name, std::string_view who);

/// `config` is config.json in the form of transformers 4 or 5, missing keys having the defaults of
/// the class; `generation` is generation_config.json, or {}. `who` names the file in errors.
DecoderConfig config_from_hf(const Json& config, const Json& generation, std::string_view who);

/// The same from a GGUF file's metadata and tensor list.
DecoderConfig config_from_gguf(const Gguf& file);

/// `parameters` is a flat rope_parameters object: rope_theta, rope_type, partial_rotary_factor and
/// what the type needs.
Rope rope_from_parameters(const Json& parameters, std::int64_t head_dim, std::int64_t max_positions,
                          std::string_view who);

/// Throws where sizes are impossible: not positive, heads that do not divide, beyond sane limits.
void check_sizes(const DecoderConfig& config, std::string_view who);

}  // namespace graft::core
