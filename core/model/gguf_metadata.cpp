#include "core/model/gguf_metadata.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

struct Kind {
  std::string_view name;
  std::uint32_t file_type;
};
constexpr Kind kinds[] = {{"q4_0", 2},  {"q8_0", 7}, {"q4_k_m", 15},
                          {"bf16", 32}, {"f16", 1},  {"f32", 0}};

/// Adds "<architecture>.<name>".
class Keys {
 public:
  Keys(GgufWriter& writer, std::string architecture)
      : writer_(writer), architecture_(std::move(architecture)) {}
  void integer(std::string_view name, std::int64_t value) {
    writer_.add(cat(architecture_, ".", name), static_cast<std::uint32_t>(value));
  }
  void number(std::string_view name, double value) {
    writer_.add(cat(architecture_, ".", name), static_cast<float>(value));
  }
  void flag(std::string_view name, bool value) {
    writer_.add(cat(architecture_, ".", name), value);
  }
  void text(std::string_view name, std::string_view value) {
    writer_.add(cat(architecture_, ".", name), value);
  }

 private:
  GgufWriter& writer_;
  std::string architecture_;
};

void add_factors(GgufWriter& writer, const std::string& name, std::vector<float> factors) {
  const auto shared = std::make_shared<const std::vector<float>>(std::move(factors));
  writer.add_tensor(name, 0, {static_cast<std::int64_t>(shared->size())},
                    [shared](const Sink& s) { s(shared->data(), shared->size() * sizeof(float)); });
}

/// What frequencies without scaling are divided by.
std::vector<float> quotients(const Rope& rope, const std::vector<float>& scaled,
                             const DecoderConfig& config) {
  Json plain = {{"rope_theta", rope.theta}};
  if (rope.parameters.contains("partial_rotary_factor")) {
    plain["partial_rotary_factor"] = rope.parameters["partial_rotary_factor"];
  }
  const Rope unscaled = rope_from_parameters(plain, config.head_dim, config.max_positions, "");
  std::vector<float> result;
  for (std::size_t i = 0; i < scaled.size(); ++i) {
    result.push_back(unscaled.inv_freq[i] / scaled[i]);
  }
  return result;
}

void add_rope(GgufWriter& writer, Keys& keys, const DecoderConfig& config) {
  const Rope& rope = config.ropes.front();
  const Json& from = rope.parameters;
  keys.integer("rope.dimension_count", rope.rotary_dim);
  keys.number("rope.freq_base", rope.theta);
  if (config.ropes.size() > 1) keys.number("rope.freq_base_swa", config.ropes[1].theta);
  const auto original = [&] {
    const Json length = from.value("original_max_position_embeddings", Json());
    return length.is_number() ? length.get<std::int64_t>() : config.max_positions;
  };
  if (rope.type == "linear") {
    keys.text("rope.scaling.type", "linear");
    keys.number("rope.scaling.factor", from.at("factor").get<double>());
  } else if (rope.type == "yarn") {
    keys.text("rope.scaling.type", "yarn");
    const Json factor = from.value("factor", Json());
    keys.number("rope.scaling.factor",
                factor.is_number()
                    ? factor.get<double>()
                    : static_cast<double>(config.max_positions) / static_cast<double>(original()));
    keys.integer("rope.scaling.original_context_length", original());
    for (const auto& [name, key] : {std::pair("beta_fast", "rope.scaling.yarn_beta_fast"),
                                    std::pair("beta_slow", "rope.scaling.yarn_beta_slow")}) {
      if (from.contains(name) && from[name].is_number()) keys.number(key, from[name].get<double>());
    }
    const bool own = from.contains("attention_factor") || from.contains("mscale");
    if (own) keys.number("rope.scaling.attn_factor", rope.attention_scaling);
  } else if (rope.type == "llama3") {
    add_factors(writer, "rope_freqs.weight", quotients(rope, rope.inv_freq, config));
  } else if (rope.type == "longrope") {
    keys.integer("rope.scaling.original_context_length", rope.original_length);
    keys.number("rope.scaling.attn_factor", rope.attention_scaling);
    add_factors(writer, "rope_factors_long.weight", quotients(rope, rope.long_inv_freq, config));
    add_factors(writer, "rope_factors_short.weight", quotients(rope, rope.inv_freq, config));
  } else if (config.family->original_length > 0) {
    keys.integer("rope.scaling.original_context_length", original());
  }
}

/// Layers of the larger ones of K's mixtures: the first and last eighths, and of the others each third.
bool uses_more_bits(std::int64_t layer, std::int64_t layers) {
  const std::int64_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

std::string k_type(const std::string& name, const DecoderConfig& config) {
  const auto is = [&](std::string_view end) { return name.ends_with(end); };
  const std::int64_t layer = name.starts_with("blk.") ? std::stoll(name.substr(4)) : -1;
  const bool more = layer >= 0 && uses_more_bits(layer, config.layers);
  if (is(".attn_v.weight")) {
    if (more) return "q6_k";
    return config.layers == 80 && config.kv_heads != config.heads ? "q5_k" : "q4_k";
  }
  if (is(".attn_qkv.weight")) return "q5_k";
  return is(".ffn_down.weight") && more ? "q6_k" : "q4_k";
}

/// What takes the place of a type whose blocks do not divide a row.
std::string smaller_blocks(const std::string& type) {
  if (type == "q4_k") return "q5_0";
  if (type == "q5_k") return "q5_1";
  return type == "q6_k" ? "q8_0" : type;
}

bool near(float a, float b) {
  return std::fabs(a - b) <= 1e-5f * std::max(std::fabs(a), std::fabs(b));
}

bool near(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return near(x, y); });
}

std::string one_name(const std::string& activation) {
  if (activation == "swish") return "silu";
  const bool tanh = activation == "gelu_new" || activation == "gelu_fast";
  if (tanh) return "gelu_pytorch_tanh";
  return activation == "gelu_python" ? "gelu" : activation;
}

}  // namespace

bool is_gguf_kind(const std::string& kind) {
  return std::any_of(std::begin(kinds), std::end(kinds),
                     [&](const Kind& k) { return k.name == kind; });
}

std::uint32_t gguf_file_type(const std::string& kind) {
  for (const Kind& known : kinds) {
    if (known.name == kind) return known.file_type;
  }
  throw Error(GRAFT_E_INTERNAL, cat("'", kind, "' is no kind of GGUF file."));
}

std::string gguf_type_of(const std::string& kind, const std::string& gguf_name,
                         const std::vector<std::int64_t>& shape, const DecoderConfig& config) {
  const bool small = shape.size() != 2 || !gguf_name.ends_with(".weight") ||
                     gguf_name.ends_with("_norm.weight") || gguf_name == "position_embd.weight";
  if (small) return "f32";
  if (kind == "f32" || kind == "f16" || kind == "bf16") return kind;
  const std::int64_t columns = shape.back();
  const bool head =
      gguf_name == "output.weight" || (config.tied_head && gguf_name == "token_embd.weight");
  std::string type = kind == "q4_k_m" ? k_type(gguf_name, config) : kind;
  if (head && type != "q8_0") type = "q6_k";
  if ((type == "q4_k" || type == "q5_k" || type == "q6_k") && columns % 256 != 0) {
    type = smaller_blocks(type);
  }
  try {
    ggml_row_bytes(ggml_type(type), columns, gguf_name);
  } catch (const Error& e) {
    throw Error(GRAFT_E_INVALID,
                cat(e.what(),
                    " No GGUF format with blocks fits this model; --format nf4 and int8 "
                    "take rows of any length."));
  }
  return type;
}

void add_model_metadata(GgufWriter& writer, const DecoderConfig& config) {
  const Family& family = *config.family;
  // Mistral models are stored as llama.
  const std::string architecture(family.architecture.empty() ? "llama" : family.architecture);
  writer.add("general.architecture", architecture);
  writer.add("general.type", "model");
  Keys keys(writer, architecture);
  keys.integer("block_count", config.layers);
  keys.integer("context_length", config.max_positions);
  keys.integer("embedding_length", config.hidden);
  keys.integer("feed_forward_length", config.intermediate);
  keys.integer("attention.head_count", config.heads);
  keys.integer("attention.head_count_kv", config.kv_heads);
  keys.integer("attention.key_length", config.head_dim);
  keys.integer("attention.value_length", config.head_dim);
  keys.integer("vocab_size", config.vocab);
  keys.number(
      family.layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
      config.norm_eps);
  if (!config.ropes.empty()) add_rope(writer, keys, config);
  if (family.parallel) keys.flag("use_parallel_residual", config.parallel_residual);
  const auto window = std::max_element(config.window.begin(), config.window.end());
  if (window != config.window.end() && *window > 0) {
    keys.integer("attention.sliding_window", *window);
    if (family.local_theta) {
      const auto whole = std::find(config.window.begin(), config.window.end(), 0);
      keys.integer("attention.sliding_window_pattern", whole - config.window.begin() + 1);
    }
  }
  if (config.attention_softcap > 0) {
    keys.number("attn_logit_softcapping", config.attention_softcap);
  }
  if (config.final_softcap > 0) keys.number("final_logit_softcapping", config.final_softcap);
}

void require_same_model(const DecoderConfig& wanted, const DecoderConfig& read) {
  const auto require = [](bool same, std::string_view what) {
    if (same) return;
    throw Error(GRAFT_UNSUPPORTED, cat("a GGUF file has no place for this model's ", what,
                                       ". --format nf4 and int8 write a folder."));
  };
  require(wanted.hidden == read.hidden && wanted.layers == read.layers &&
              wanted.heads == read.heads && wanted.kv_heads == read.kv_heads &&
              wanted.head_dim == read.head_dim && wanted.intermediate == read.intermediate &&
              wanted.vocab == read.vocab && wanted.max_positions == read.max_positions,
          "sizes");
  require(near(static_cast<float>(wanted.norm_eps), static_cast<float>(read.norm_eps)), "epsilon");
  require(wanted.q_bias == read.q_bias && wanted.k_bias == read.k_bias &&
              wanted.v_bias == read.v_bias && wanted.o_bias == read.o_bias &&
              wanted.mlp_bias == read.mlp_bias,
          "biases");
  require(wanted.tied_head == read.tied_head, "head");
  require(wanted.parallel_residual == read.parallel_residual, "order of sublayers");
  require(one_name(wanted.activation) == one_name(read.activation), "activation");
  // A window as long as the context is none.
  const auto seen = [&](std::int64_t w) { return w == 0 ? wanted.max_positions : w; };
  bool windows = wanted.window.size() == read.window.size();
  for (std::size_t l = 0; windows && l < wanted.window.size(); ++l) {
    windows = std::min(seen(wanted.window[l]), wanted.max_positions) ==
              std::min(seen(read.window[l]), wanted.max_positions);
  }
  require(windows, "windows of attention");
  bool scales = wanted.attention_scale.size() == read.attention_scale.size();
  for (std::size_t l = 0; scales && l < wanted.attention_scale.size(); ++l) {
    scales = near(static_cast<float>(wanted.attention_scale[l]),
                  static_cast<float>(read.attention_scale[l]));
  }
  const auto same = [](double a, double b) {
    return near(static_cast<float>(a), static_cast<float>(b));
  };
  require(scales && same(wanted.embedding_scale, read.embedding_scale) &&
              same(wanted.attention_softcap, read.attention_softcap) &&
              same(wanted.final_softcap, read.final_softcap),
          "scales");
  bool ropes = wanted.layer_rope == read.layer_rope && wanted.ropes.size() == read.ropes.size();
  for (std::size_t i = 0; ropes && i < wanted.ropes.size(); ++i) {
    const Rope &a = wanted.ropes[i], &b = read.ropes[i];
    ropes = a.rotary_dim == b.rotary_dim && near(a.inv_freq, b.inv_freq) &&
            near(a.long_inv_freq, b.long_inv_freq) && a.original_length == b.original_length &&
            near(a.attention_scaling, b.attention_scaling);
  }
  require(ropes, "rotary positions");
}

}  // namespace graft::core
