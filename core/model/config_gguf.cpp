#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numbers>

#include "core/model/config_layers.hpp"
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
  bool flag(std::string_view name, bool otherwise) const {
    return file_.flag(key(name), otherwise);
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

const Family& family_of(const Metadata& meta) {
  const std::string& name = meta.architecture();
  // Mistral models are stored as llama; only the window tells them apart.
  if (name == "llama" && meta.integer("attention.sliding_window", 0) > 0) {
    return *find_family("mistral");
  }
  std::string known;
  for (const Family& family : families()) {
    if (family.architecture.empty()) continue;
    if (family.architecture == name) return family;
    known += cat(known.empty() ? "" : ", ", family.architecture);
  }
  throw Error(GRAFT_UNSUPPORTED, cat(meta.who(), ": models of architecture \"", name,
                                     "\" are not supported. Supported: ", known, "."));
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

std::vector<float> positive_floats(const Gguf& file, const std::string& name, std::size_t count) {
  const HostTensor tensor = file.tensor(name);
  std::vector<float> values(count);
  if (tensor.elements() != static_cast<std::int64_t>(count)) {
    throw Error(GRAFT_E_INVALID,
                cat("GGUF file '", file.path().string(), "': tensor '", name, "' is ",
                    shape_text(tensor.shape), ", but [", count, "] is needed."));
  }
  expand(tensor, GRAFT_F32, values.data(), 1);
  for (const float value : values) {
    if (value > 0 && std::isfinite(value)) continue;
    throw Error(GRAFT_E_INVALID, cat("GGUF file '", file.path().string(), "': tensor '", name,
                                     "' has ", value, " in it."));
  }
  return values;
}

// Applies the tensor "rope_freqs.weight", as which llama3 scaling is stored. Returns the settings.
std::optional<Json> apply_factors(const Gguf& file, DecoderConfig& config, const Json& parameters) {
  const std::vector<float> factors =
      positive_floats(file, "rope_freqs.weight", config.ropes[0].inv_freq.size());
  for (std::size_t i = 0; i < factors.size(); ++i) config.ropes[0].inv_freq[i] /= factors[i];
  config.ropes[0].type = "llama3";
  if (parameters["rope_type"] != "default") return std::nullopt;
  return llama3_parameters(config.ropes[0].theta, factors, config.max_positions);
}

// Applies "rope_factors_short.weight" and "rope_factors_long.weight".
void apply_longrope(const Gguf& file, const Metadata& meta, Rope& rope) {
  const std::size_t n = rope.inv_freq.size();
  const std::vector<float> shorter = positive_floats(file, "rope_factors_short.weight", n);
  const std::vector<float> longer = positive_floats(file, "rope_factors_long.weight", n);
  rope.type = "longrope";
  rope.long_inv_freq = rope.inv_freq;
  for (std::size_t i = 0; i < n; ++i) {
    rope.inv_freq[i] /= shorter[i];
    rope.long_inv_freq[i] /= longer[i];
  }
  rope.original_length = meta.integer("rope.scaling.original_context_length");
  rope.attention_scaling = static_cast<float>(meta.number("rope.scaling.attn_factor", 1));
}

// Which layers have a window and which rotation, which the architecture tells.
void set_gguf_layers(const Metadata& meta, DecoderConfig& config) {
  const Family& family = *config.family;
  const auto layers = static_cast<std::size_t>(config.layers);
  const bool pattern = family.window == Window::kPattern;
  const std::int64_t size =
      family.window == Window::kAll || pattern ? meta.integer("attention.sliding_window", 0) : 0;
  std::int64_t every = family.window_pattern;
  if (family.local_theta) every = meta.integer("attention.sliding_window_pattern", every);
  if (size < 0 || (pattern && every < 1)) {
    throw Error(GRAFT_E_INVALID, cat(meta.who(), ": the window is ", size, " for all but every ",
                                     every, ". layer; both must be above 0."));
  }
  config.window.assign(layers, size);
  config.layer_rope.assign(layers, config.ropes.empty() ? -1 : 0);
  for (std::size_t l = 0; l < layers; ++l) {
    const auto next = static_cast<std::int64_t>(l) + 1;
    if (pattern && next % every == 0) config.window[l] = 0;
    if (pattern && family.local_theta && next % every != 0) config.layer_rope[l] = 1;
    if (family.no_rope_interval > 0 && next % family.no_rope_interval == 0) {
      config.layer_rope[l] = -1;
    }
  }
  // Scores are divided by the root of head_dim, but in the largest Gemma 2 and 3.
  const bool largest = (family.type == "gemma2" && config.layers == 46) ||
                       (family.type == "gemma3_text" && config.layers == 62);
  const std::int64_t split = config.hidden / config.heads;
  set_scales(config, largest ? static_cast<double>(split) : 0);
  const auto softcap = [&](const char* key, std::optional<double> otherwise) {
    return otherwise ? meta.number(key, *otherwise) : 0;
  };
  config.attention_softcap = softcap("attn_logit_softcapping", family.attention_softcap);
  config.final_softcap = softcap("final_logit_softcapping", family.final_softcap);
}

// Whether the head is the embedding: it is not there, or a copy.
bool is_tied(const Gguf& file) {
  if (!file.has_tensor("output.weight")) return true;
  const HostTensor head = file.tensor("output.weight"), table = file.tensor("token_embd.weight");
  return head.dtype == table.dtype && head.block_format == table.block_format &&
         std::equal(head.bytes.begin(), head.bytes.end(), table.bytes.begin(), table.bytes.end());
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
  std::string name(config.family->type);
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
                 {"model_type", std::string(config.family->type)},
                 {"num_attention_heads", config.heads},
                 {"num_hidden_layers", config.layers},
                 {"num_key_value_heads", config.kv_heads},
                 {"pad_token_id", config.pad ? Json(*config.pad) : Json()},
                 {"rms_norm_eps", config.norm_eps},
                 {"rope_scaling", nullptr},
                 {"rope_theta", config.ropes[0].theta},
                 {"tie_word_embeddings", config.tied_head},
                 {"use_cache", true},
                 {"vocab_size", config.vocab}};
  if (config.eos.size() == 1) result["eos_token_id"] = config.eos[0];
  if (rope["rope_type"] != "default") {
    rope.erase("rope_theta");
    result["rope_scaling"] = rope;
  }
  const std::string_view type = config.family->type;
  if (type == "mistral") result["sliding_window"] = config.window[0];
  if (type == "qwen2" || type == "qwen3") result["use_sliding_window"] = false;
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
  const Family& family = family_of(meta);
  config.family = &family;
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
  config.norm_eps = meta.number(
      family.layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
      family.norm_eps);
  const Gguf::Tensor& embedding = file.tensor_info("token_embd.weight");
  config.vocab = embedding.shape.empty() ? 0 : embedding.shape[0];
  check_sizes(config, meta.who());
  const std::int64_t turning = meta.integer("rope.dimension_count", config.head_dim);
  for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
    const bool partial = std::string_view(key) == "rope.dimension_count" && family.rotary;
    if (!partial && meta.integer(key, config.head_dim) != config.head_dim) {
      throw Error(GRAFT_UNSUPPORTED, cat(meta.who(), ": '", meta.key(key), "' is ",
                                         meta.integer(key), " and the size of a head ",
                                         config.head_dim, "; unequal ones are not supported."));
    }
  }
  if (file.has_tensor("blk.0.attn_q_norm.weight") && family.names.q_norm.empty()) {
    throw Error(GRAFT_UNSUPPORTED, cat(meta.who(), ": has norms of queries, which models of ",
                                       "architecture ", meta.architecture(), " do not have."));
  }
  // Presence flags are not in the metadata: the tensors of the first layer tell.
  const bool fused = !family.names.qkv.empty();
  config.q_bias = file.has_tensor(fused ? "blk.0.attn_qkv.bias" : "blk.0.attn_q.bias");
  config.k_bias = fused ? config.q_bias : file.has_tensor("blk.0.attn_k.bias");
  config.v_bias = fused ? config.q_bias : file.has_tensor("blk.0.attn_v.bias");
  config.o_bias = file.has_tensor("blk.0.attn_output.bias");
  config.mlp_bias = file.has_tensor("blk.0.ffn_up.bias");
  config.tied_head = is_tied(file);
  config.parallel_residual = family.parallel && meta.flag("use_parallel_residual", true);
  config.activation = family.activation;
  std::optional<Json> parameters = rope_parameters(meta);
  if (family.names.positions.empty()) {
    Json first = *parameters;
    if (turning != config.head_dim) {  // the half keeps the quotient's rounding off
      first["partial_rotary_factor"] =
          (static_cast<double>(turning) + 0.5) / static_cast<double>(config.head_dim);
    }
    if (first["rope_type"] == "longrope") first["rope_type"] = "default";
    config.ropes = {rope_from_parameters(first, config.head_dim, config.max_positions, meta.who())};
    if (family.local_theta) {
      const Json local = {{"rope_theta", meta.number("rope.freq_base_swa", *family.local_theta)}};
      config.ropes.push_back(
          rope_from_parameters(local, config.head_dim, config.max_positions, meta.who()));
    }
    if (file.has_tensor("rope_factors_long.weight")) apply_longrope(file, meta, config.ropes[0]);
    if (file.has_tensor("rope_freqs.weight")) {
      parameters = apply_factors(file, config, *parameters);
    }
  }
  set_gguf_layers(meta, config);
  set_tokens(file, config);
  config.storage_dtype = main_dtype(file);
  // Null where the family's class cannot express what the file has, or another form is needed.
  const std::string_view type = family.type;
  const bool llama = type == "llama", qwen2 = type == "qwen2";
  const bool all_bias = config.q_bias && config.k_bias && config.v_bias && config.o_bias;
  const bool no_bias = !config.q_bias && !config.k_bias && !config.v_bias && !config.o_bias;
  const bool only_qkv = config.q_bias && config.k_bias && config.v_bias && !config.o_bias;
  const bool known = llama || qwen2 || type == "mistral" || type == "qwen3";
  const bool expressible = known && parameters && (llama || !config.mlp_bias) &&
                           (qwen2 ? only_qkv : no_bias || (all_bias && type != "mistral"));
  if (expressible) config.hf = to_hf(config, *parameters);
  return config;
}

}  // namespace graft::core
