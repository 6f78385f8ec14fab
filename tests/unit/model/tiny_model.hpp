// A decoder of a few thousand numbers in a folder of its own, with everything that a neutral
// constant could hide: grouped heads, head_dim unequal to hidden / heads, norm weights that are not
// 1, biases, a window.
#pragma once
#include <random>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "core/model/config.hpp"
#include "core/model/decoder.hpp"
#include "core/tensor/safetensors.hpp"
#include "tests/unit/base/temporary_folder.hpp"

namespace graft::core::test {

/// config.json of a Qwen3 with `layers` layers; keys in `change` replace its own.
inline Json tiny_config(std::int64_t layers = 2, const Json& change = Json::object()) {
  Json config = {{"model_type", "qwen3"},
                 {"architectures", {"Qwen3ForCausalLM"}},
                 {"hidden_size", 8},
                 {"num_hidden_layers", layers},
                 {"num_attention_heads", 4},
                 {"num_key_value_heads", 2},
                 {"head_dim", 6},
                 {"intermediate_size", 10},
                 {"vocab_size", 13},
                 {"max_position_embeddings", 512},
                 {"rms_norm_eps", 1e-3},
                 {"rope_theta", 100.0},
                 {"attention_bias", true},
                 {"use_sliding_window", true},
                 {"sliding_window", 3},
                 {"max_window_layers", 1},
                 {"tie_word_embeddings", false},
                 {"hidden_act", "silu"},
                 {"eos_token_id", 12},
                 {"torch_dtype", "float32"}};
  for (auto it = change.begin(); it != change.end(); ++it) config[it.key()] = it.value();
  return config;
}

/// The folder with config.json and model.safetensors, random values, f32.
class TinyModel {
 public:
  explicit TinyModel(const Json& config = tiny_config()) {
    write_file_atomically(folder() / "config.json", config.dump(2));
    config_ = config_from_hf(config, Json::object(), "tiny");
    std::mt19937 generator(7);
    std::vector<std::vector<float>> values;
    std::vector<HostTensor> tensors;
    for (const TensorNeed& need : decoder_tensors(config_)) {
      std::int64_t n = 1;
      for (const std::int64_t d : need.shape) n *= d;
      const bool norm = need.name.find("norm") != std::string::npos;
      std::uniform_real_distribution<float> uniform(norm ? 0.5f : -0.6f, norm ? 1.6f : 0.6f);
      std::vector<float>& v = values.emplace_back(static_cast<std::size_t>(n));
      for (float& x : v) x = uniform(generator);
      HostTensor t;
      t.name = need.name;
      t.shape = need.shape;
      tensors.push_back(t);
    }
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      tensors[i].bytes = std::as_bytes(std::span(values[i]));
    }
    write_safetensors(folder() / "model.safetensors", std::span<const HostTensor>(tensors),
                      {{"format", "pt"}});
  }

  const fs::path& folder() const { return folder_.path(); }
  const DecoderConfig& config() const { return config_; }

 private:
  TemporaryFolder folder_;
  DecoderConfig config_;
};

}  // namespace graft::core::test
