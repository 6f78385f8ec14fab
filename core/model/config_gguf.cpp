#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numbers>

#include "core/model/config.hpp"
#include "core/tensor/expand.hpp"

namespace graft::core {
namespace {

// The metadata of the file's architecture.
class Metadata {
 public:
  explicit Metadata(const Gguf& file)
      : file_(file), architecture_(file.text("general.architecture")) {}

  const std::string& architecture() const { return architecture_; }
  std::string who() const { return cat("GGUF file '", file_.path().string(), "'"); }
  std::string key(std::string_view name) const { return cat(architecture_, ".", name); }

  bool has(std::string_view name) const { return file_.has(key(name)); }
  std::int64_t integer(std::string_view name) const { return same(key(name)); }
  std::int64_t integer(std::string_view name, std::int64_t otherwise) const {
    return has(name) ? same(key(name)) : otherwise;
  }
  double number(std::string_view name, double otherwise) const {
    return has(name) ? decimal(file_.number(key(name))) : otherwise;
  }
  std::string text(std::string_view name, std::string_view otherwise) const {
    return std::string(file_.text(key(name), otherwise));
  }

  // Metadata holds f32 where config.json holds decimals: 9.99999975e-06 was 1e-05.
  static double decimal(double value) {
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, static_cast<float>(value));
    double result = value;
    std::from_chars(digits, end.ptr, result);
    return std::isfinite(value) ? result : value;
  }

 private:
  // Some sizes may be given per layer; only equal ones are taken.
  std::int64_t same(const std::string& full) const {
    if (file_.find(full) == nullptr || file_.find(full)->type != GgufType::array) {
      return file_.integer(full);
    }
    const std::vector<std::int64_t> values = file_.integers(full);
    if (values.empty() || std::count(values.begin(), values.end(), values[0]) !=
                              static_cast<std::ptrdiff_t>(values.size())) {
      throw Error(GRAFT_UNSUPPORTED,
                  cat(who(), ": '", full, "' differs between layers, which is not supported."));
    }
    return values[0];
  }

  const Gguf& file_;
  std::string architecture_;
};

std::string family_of(const Metadata& meta) {
  const std::string& name = meta.architecture();
  // Mistral models are stored as llama; only the window tells them apart.
  if (name == "llama") {
    return meta.integer("attention.sliding_window", 0) > 0 ? "mistral" : "llama";
  }
  const std::vector<std::string>& known = supported_families();
  if (name != "mistral" && std::find(known.begin(), known.end(), name) != known.end()) return name;
  throw Error(GRAFT_UNSUPPORTED, cat(meta.who(), ": models of architecture \"", name,
                                     "\" are not supported. Supported: llama, qwen2, qwen3."));
}

// rope_parameters as config.json would have them.
Json rope_parameters(const Metadata& meta) {
  Json result = {{"rope_theta", meta.number("rope.freq_base", 10000)}, {"rope_type", "default"}};
  std::string type = meta.text("rope.scaling.type", "none");
  double factor = meta.number("rope.scaling.factor", 0);
  if (!meta.has("rope.scaling.type") && meta.has("rope.scale_linear")) {
    type = "linear";
    factor = meta.number("rope.scale_linear", 1);
  }
  if (type == "none") return result;
  result["rope_type"] = type;
  if (factor > 0) result["factor"] = factor;
  if (type != "yarn") return result;
  const auto copy = [&](const char* name, const char* key) {
    if (meta.has(key)) result[name] = meta.number(key, 0);
  };
  if (meta.has("rope.scaling.original_context_length")) {
    result["original_max_position_embeddings"] =
        meta.integer("rope.scaling.original_context_length");
  }
  copy("attention_factor", "rope.scaling.attn_factor");
  copy("beta_fast", "rope.scaling.yarn_beta_fast");
  copy("beta_slow", "rope.scaling.yarn_beta_slow");
  return result;
}

// The llama3 settings of which `factors` are the quotients; nothing where there are none.
//
//   1 / factors_i = (1 - t_i) / factor + t_i,   t_i = (length / wavelength_i - low) / (high - low)
//
// between the ends, where t is linear in 1 / wavelength. Two such points give the line; length, low
// and high have a common scale that is free, so low is 1. With fewer points high is taken to be 4
// and without any the length 8192: all published models have these.
std::optional<Json> llama3_parameters(double theta, const std::vector<float>& factors,
                                      std::int64_t max_positions) {
  const auto dim = static_cast<std::int64_t>(2 * factors.size());
  const double factor = Metadata::decimal(*std::max_element(factors.begin(), factors.end()));
  const Rope plain = rope_from_parameters({{"rope_theta", theta}}, dim, max_positions, "");
  std::vector<std::pair<double, double>> points;  // 1 / wavelength, t
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const double t = (1.0 / factors[i] - 1 / factor) / (1 - 1 / factor);
    const double per_wave = plain.inv_freq[i] / (2 * std::numbers::pi);
    if (t > 1e-4 && t < 1 - 1e-4) points.emplace_back(per_wave, t);
  }
  double high = 4, length = 8192;
  if (points.size() == 1) {
    const auto [x, t] = points[0];
    length = std::round((t * (high - 1) + 1) / x);
    high = 1 + (length * x - 1) / t;
  }
  if (points.size() > 1) {
    const auto [x0, t0] = points.front();
    const auto [x1, t1] = points.back();
    const double slope = (t1 - t0) / (x1 - x0);
    high = 1 - 1 / (t0 - slope * x0);
    length = slope * (high - 1);
  }
  length = std::round(length);
  if (!(high > 1.001) || !(length >= 1) || length > 1e9) return std::nullopt;
  for (const double tidy : {std::round(high * 1000) / 1000, high}) {
    const Json found = {{"rope_theta", theta},
                        {"rope_type", "llama3"},
                        {"factor", factor},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", tidy},
                        {"original_max_position_embeddings", static_cast<std::int64_t>(length)}};
    const Rope scaled = rope_from_parameters(found, dim, max_positions, "");
    bool agrees = true;
    for (std::size_t i = 0; i < factors.size(); ++i) {
      const float quotient = plain.inv_freq[i] / scaled.inv_freq[i];
      agrees = agrees && std::abs(quotient / factors[i] - 1) < 1e-5;
    }
    if (agrees) return found;
  }
  return std::nullopt;
}

// Applies the tensor "rope_freqs.weight", as which llama3 scaling is stored. Returns the settings.
std::optional<Json> apply_factors(const Gguf& file, const Metadata& meta, DecoderConfig& config,
                                  const Json& parameters) {
  const HostTensor tensor = file.tensor("rope_freqs.weight");
  std::vector<float> factors(config.rope.inv_freq.size());
  if (tensor.elements() != static_cast<std::int64_t>(factors.size())) {
    throw Error(GRAFT_E_INVALID,
                cat(meta.who(), ": tensor 'rope_freqs.weight' is ", shape_text(tensor.shape),
                    ", but [", factors.size(), "] is needed."));
  }
  expand(tensor, GRAFT_F32, factors.data(), 1);
  for (std::size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0) || !std::isfinite(factors[i])) {
      throw Error(GRAFT_E_INVALID,
                  cat(meta.who(), ": tensor 'rope_freqs.weight' has ", factors[i], " in it."));
    }
    config.rope.inv_freq[i] /= factors[i];
  }
  config.rope.type = "llama3";
  if (parameters["rope_type"] != "default") return std::nullopt;
  return llama3_parameters(config.rope.theta, factors, config.max_positions);
}

std::optional<std::int32_t> token(const Gguf& file, std::string_view key) {
  const std::int64_t id = file.integer(key, -1);
  if (id < 0 || id > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
  return static_cast<std::int32_t>(id);
}

void set_tokens(const Gguf& file, DecoderConfig& config) {
  config.bos = token(file, "tokenizer.ggml.bos_token_id");
  config.pad = token(file, "tokenizer.ggml.padding_token_id");
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                          "tokenizer.ggml.eom_token_id"}) {
    const auto id = token(file, key);
    if (id && std::count(config.eos.begin(), config.eos.end(), *id) == 0) {
      config.eos.push_back(*id);
    }
  }
}

// config.json as transformers 4 writes it, which 5 reads too.
Json to_hf(const DecoderConfig& config, Json rope) {
  std::string name = config.family;
  name[0] = static_cast<char>(name[0] - 'a' + 'A');
  const bool attention_bias = config.o_bias && config.q_bias;
  Json result = {{"architectures", {name + "ForCausalLM"}},
                 {"attention_bias", attention_bias},
                 {"bos_token_id", config.bos ? Json(*config.bos) : Json()},
                 {"eos_token_id", config.eos.empty() ? Json() : Json(config.eos)},
                 {"head_dim", config.head_dim},
                 {"hidden_act", config.activation},
                 {"hidden_size", config.hidden},
                 {"intermediate_size", config.intermediate},
                 {"max_position_embeddings", config.max_positions},
                 {"mlp_bias", config.mlp_bias},
                 {"model_type", config.family},
                 {"num_attention_heads", config.heads},
                 {"num_hidden_layers", config.layers},
                 {"num_key_value_heads", config.kv_heads},
                 {"pad_token_id", config.pad ? Json(*config.pad) : Json()},
                 {"rms_norm_eps", config.norm_eps},
                 {"rope_scaling", nullptr},
                 {"rope_theta", config.rope.theta},
                 {"tie_word_embeddings", config.tied_head},
                 {"use_cache", true},
                 {"vocab_size", config.vocab}};
  if (config.eos.size() == 1) result["eos_token_id"] = config.eos[0];
  if (rope["rope_type"] != "default") {
    rope.erase("rope_theta");
    result["rope_scaling"] = rope;
  }
  if (config.family == "mistral") result["sliding_window"] = config.window[0];
  if (config.family == "qwen2" || config.family == "qwen3") result["use_sliding_window"] = false;
  return result;
}

// The type of most bytes; 0 where they are blocks.
std::uint32_t main_dtype(const Gguf& file) {
  std::map<std::uint32_t, std::uint64_t> bytes;
  for (const Gguf::Tensor& tensor : file.tensors()) bytes[tensor.type] += tensor.size;
  std::uint32_t type = 0;
  for (const auto& [candidate, size] : bytes) {
    if (size > bytes[type]) type = candidate;
  }
  switch (type) {
    case 0:
      return GRAFT_F32;
    case 1:
      return GRAFT_F16;
    case 30:
      return GRAFT_BF16;
    default:
      return 0;
  }
}

}  // namespace

DecoderConfig config_from_gguf(const Gguf& file) {
  const Metadata meta(file);
  DecoderConfig config;
  config.family = family_of(meta);
  if (meta.integer("expert_count", 0) > 0) {
    throw Error(GRAFT_UNSUPPORTED,
                cat(meta.who(), ": a mixture of experts, which is not supported."));
  }
  config.layers = meta.integer("block_count");
  config.hidden = meta.integer("embedding_length");
  config.intermediate = meta.integer("feed_forward_length");
  config.max_positions = meta.integer("context_length");
  config.heads = meta.integer("attention.head_count");
  config.kv_heads = meta.integer("attention.head_count_kv", config.heads);
  config.head_dim =
      meta.integer("attention.key_length", config.heads > 0 ? config.hidden / config.heads : 0);
  config.norm_eps = meta.number("attention.layer_norm_rms_epsilon", 1e-6);
  const Gguf::Tensor& embedding = file.tensor_info("token_embd.weight");
  config.vocab = embedding.shape.empty() ? 0 : embedding.shape[0];
  check_sizes(config, meta.who());
  for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
    if (meta.integer(key, config.head_dim) != config.head_dim) {
      throw Error(GRAFT_UNSUPPORTED, cat(meta.who(), ": '", meta.key(key), "' is ",
                                         meta.integer(key), " and the size of a head ",
                                         config.head_dim, "; unequal ones are not supported."));
    }
  }
  // Presence flags are not in the metadata: the tensors of the first layer tell.
  config.q_bias = file.has_tensor("blk.0.attn_q.bias");
  config.k_bias = file.has_tensor("blk.0.attn_k.bias");
  config.v_bias = file.has_tensor("blk.0.attn_v.bias");
  config.o_bias = file.has_tensor("blk.0.attn_output.bias");
  config.mlp_bias = file.has_tensor("blk.0.ffn_gate.bias");
  config.qk_norm = file.has_tensor("blk.0.attn_q_norm.weight");
  config.tied_head = !file.has_tensor("output.weight");
  config.activation = "silu";
  config.window.assign(static_cast<std::size_t>(config.layers),
                       config.family == "mistral" ? meta.integer("attention.sliding_window") : 0);
  std::optional<Json> parameters = rope_parameters(meta);
  config.rope =
      rope_from_parameters(*parameters, config.head_dim, config.max_positions, meta.who());
  if (file.has_tensor("rope_freqs.weight")) {
    parameters = apply_factors(file, meta, config, *parameters);
  }
  set_tokens(file, config);
  config.storage_dtype = main_dtype(file);
  // Null where the family's class cannot express what the file has.
  const bool llama = config.family == "llama", qwen2 = config.family == "qwen2";
  const bool all_bias = config.q_bias && config.k_bias && config.v_bias && config.o_bias;
  const bool no_bias = !config.q_bias && !config.k_bias && !config.v_bias && !config.o_bias;
  const bool only_qkv = config.q_bias && config.k_bias && config.v_bias && !config.o_bias;
  const bool expressible = parameters && config.qk_norm == (config.family == "qwen3") &&
                           (llama || !config.mlp_bias) &&
                           (qwen2 ? only_qkv : no_bias || (all_bias && config.family != "mistral"));
  if (expressible) config.hf = to_hf(config, *parameters);
  return config;
}

}  // namespace graft::core
