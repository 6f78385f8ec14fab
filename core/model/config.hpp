// What a decoder is: the switches of its family and its sizes, out of config.json or GGUF metadata.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/tensor/gguf.hpp"

namespace graft::core {

struct Rope {
  double theta = 10000;
  std::int64_t rotary_dim = 0;
  std::string type = "default";  // default, linear, llama3 or yarn
  std::vector<float> inv_freq;   // rotary_dim / 2, scaled as `type` says
  float attention_scaling = 1;   // a factor of cos and sin
};

struct DecoderConfig {
  std::string family;  // "llama", "mistral", "qwen2" or "qwen3"
  std::int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  std::int64_t vocab = 0, max_positions = 0;
  double norm_eps = 0;
  bool q_bias = false, k_bias = false, v_bias = false, o_bias = false, mlp_bias = false;
  bool qk_norm = false;              // RMS norm of each head of q and k before the rotation
  bool tied_head = false;            // the head is the embedding
  std::vector<std::int64_t> window;  // per layer; 0: none, else a query sees itself and window - 1
  Rope rope;
  std::string activation;  // "silu", ...: the config's hidden_act
  std::vector<std::int32_t> eos;
  std::optional<std::int32_t> bos, pad;
  std::uint32_t storage_dtype = 0;   // what the file says it is stored in; 0: nothing that is known
  Json generation = Json::object();  // generation_config.json, or {}
  Json hf;  // config.json as read, or made of GGUF metadata; null where that cannot express it
};

/// "llama", "mistral", ...
const std::vector<std::string>& supported_families();

/// `config` is config.json in the form of transformers 4 or 5, missing keys having the defaults of
/// the class; `generation` is generation_config.json, or {}. `who` names the file in errors.
DecoderConfig config_from_hf(const Json& config, const Json& generation, std::string_view who);

/// The same from a GGUF file's metadata and tensor list.
DecoderConfig config_from_gguf(const Gguf& file);

/// `parameters` is a flat rope_parameters object: rope_theta, rope_type and what the type needs.
Rope rope_from_parameters(const Json& parameters, std::int64_t rotary_dim,
                          std::int64_t max_positions, std::string_view who);

/// Throws where sizes are impossible: not positive, heads that do not divide, beyond sane limits.
void check_sizes(const DecoderConfig& config, std::string_view who);

}  // namespace graft::core
