#include <algorithm>
#include <array>

#include "core/model/config.hpp"
#include "core/model/config_fields.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

enum class Window {
  kNone,    // the family has none
  kAll,     // "sliding_window", where not null, holds for every layer
  kByLayer  // "layer_types", or from "max_window_layers" on, if "use_sliding_window"
};

// A family's switches and the defaults of its configuration class in transformers.
struct Family {
  const char* name;
  std::int64_t intermediate, kv_heads, vocab, max_positions;  // kv_heads 0: as many as heads
  std::int64_t head_dim;                                      // 0: hidden / heads
  std::optional<std::int32_t> bos, eos;
  bool qkv_bias;        // always
  bool attention_bias;  // "attention_bias" puts biases on q, k, v and o
  bool mlp_bias;        // "mlp_bias" is honoured
  bool qk_norm;
  Window window;
};

constexpr std::array<Family, 4> families = {{
    {"llama", 11008, 0, 32000, 2048, 0, 1, 2, false, true, true, false, Window::kNone},
    {"mistral", 14336, 8, 32000, 131072, 0, 1, 2, false, false, false, false, Window::kAll},
    {"qwen2", 22016, 32, 151936, 32768, 0, {}, {}, true, false, false, false, Window::kByLayer},
    {"qwen3", 22016, 32, 151936, 32768, 128, {}, {}, false, true, false, true, Window::kByLayer},
}};

const Family& family_of(const ConfigFields& fields) {
  const auto type = fields.text("model_type");
  std::string known;
  for (const Family& family : families) {
    if (type == family.name) return family;
    known += cat(known.empty() ? "" : ", ", family.name);
  }
  if (!type) {
    throw Error(GRAFT_E_INVALID,
                cat(fields.who(), ": \"model_type\" is missing. Supported: ", known, "."));
  }
  throw Error(GRAFT_UNSUPPORTED, cat(fields.who(), ": models of type \"", *type,
                                     "\" are not supported. Supported: ", known, "."));
}

std::vector<std::int64_t> windows(const ConfigFields& fields, const Family& family,
                                  std::int64_t layers) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(layers), 0);
  std::int64_t size = fields.integer("sliding_window").value_or(4096);
  const bool off =
      family.window == Window::kNone || fields.is_null("sliding_window") ||
      (family.window == Window::kByLayer && !fields.boolean("use_sliding_window").value_or(false));
  if (off) size = 0;
  if (!off && size <= 0) fields.wrong("sliding_window", *fields.find("sliding_window"), "above 0");
  if (family.window == Window::kAll) std::fill(result.begin(), result.end(), size);
  if (family.window != Window::kByLayer) return result;

  const Json* types = fields.find("layer_types");
  if (types == nullptr) {
    const std::int64_t first = fields.integer("max_window_layers").value_or(28);
    for (std::int64_t l = std::max<std::int64_t>(first, 0); l < layers; ++l) {
      result[static_cast<std::size_t>(l)] = size;
    }
    return result;
  }
  if (!types->is_array() || types->size() != result.size()) {
    fields.wrong("layer_types", *types, cat("a list of ", layers, " texts, one per layer"));
  }
  for (std::size_t l = 0; l < result.size(); ++l) {
    const Json& type = (*types)[l];
    if (type == "sliding_attention") {
      if (size == 0) {
        throw Error(GRAFT_E_INVALID, cat(fields.who(), ": \"layer_types\" has sliding_attention, ",
                                         "but no \"sliding_window\" is in use."));
      }
      result[l] = size;
    } else if (type != "full_attention") {
      fields.wrong("layer_types", type, "\"full_attention\" or \"sliding_attention\"");
    }
  }
  return result;
}

// One flat object out of what transformers 4 (rope_theta, rope_scaling) and 5 (rope_parameters)
// write; rope_scaling wins where both are there.
Json rope_parameters(const ConfigFields& fields) {
  const Json* found = fields.find("rope_scaling");
  if (found != nullptr && found->is_object() && found->empty()) found = nullptr;
  const char* key = found != nullptr ? "rope_scaling" : "rope_parameters";
  if (found == nullptr) found = fields.find(key);
  Json result = found != nullptr ? *found : Json::object();
  if (!result.is_object()) fields.wrong(key, result, "an object");
  for (const auto& [name, value] : result.items()) {
    if (value.is_object()) {
      throw Error(GRAFT_UNSUPPORTED, cat(fields.who(), ": \"", key, "\" has settings for \"", name,
                                         "\" alone, which this family does not have."));
    }
  }
  for (const char* name :
       {"rope_theta", "partial_rotary_factor", "original_max_position_embeddings"}) {
    // The original length at the top wins, as in transformers; for the others it is the default.
    const bool wins = std::string_view(name) == "original_max_position_embeddings";
    if (fields.has(name) && (wins || !result.contains(name))) result[name] = *fields.find(name);
  }
  return result;
}

std::int32_t token(const ConfigFields& fields, const char* key, const Json& value) {
  if (!value.is_number_integer() || value < 0 || value > std::numeric_limits<std::int32_t>::max()) {
    fields.wrong(key, value, "a token id");
  }
  return value.get<std::int32_t>();
}

// generation_config.json comes first, then config.json, then the class default.
std::vector<std::int32_t> tokens(const ConfigFields& generation, const ConfigFields& fields,
                                 const char* key, std::optional<std::int32_t> otherwise) {
  for (const ConfigFields* source : {&generation, &fields}) {
    const Json* value = source->find(key);
    if (value == nullptr) {
      if (source->is_null(key)) otherwise.reset();
      continue;
    }
    std::vector<std::int32_t> result;
    if (!value->is_array()) {
      if (*value == -1) return {};  // "no padding" in old files
      return {token(*source, key, *value)};
    }
    for (const Json& item : *value) result.push_back(token(*source, key, item));
    return result;
  }
  if (otherwise) return {*otherwise};
  return {};
}

std::optional<std::int32_t> one_token(const std::vector<std::int32_t>& found) {
  return found.empty() ? std::nullopt : std::optional(found.front());
}

}  // namespace

const std::vector<std::string>& supported_families() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const Family& family : families) result.emplace_back(family.name);
    return result;
  }();
  return names;
}

void check_sizes(const DecoderConfig& config, std::string_view who) {
  struct Size {
    const char* name;
    std::int64_t value, limit;
  };
  const std::array<Size, 8> sizes = {{{"num_hidden_layers", config.layers, 4096},
                                      {"hidden_size", config.hidden, 1 << 18},
                                      {"num_attention_heads", config.heads, 1 << 14},
                                      {"num_key_value_heads", config.kv_heads, 1 << 14},
                                      {"head_dim", config.head_dim, 1 << 14},
                                      {"intermediate_size", config.intermediate, 1 << 22},
                                      {"vocab_size", config.vocab, 1 << 24},
                                      {"max_position_embeddings", config.max_positions, 1 << 30}}};
  for (const Size& size : sizes) {
    if (size.value < 1 || size.value > size.limit) {
      throw Error(GRAFT_E_INVALID, cat(who, ": \"", size.name, "\" is ", size.value,
                                       ", but must be 1 to ", size.limit, "."));
    }
  }
  if (config.heads % config.kv_heads != 0) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": \"num_attention_heads\" (", config.heads,
                    ") must be a multiple of \"num_key_value_heads\" (", config.kv_heads, ")."));
  }
  if (config.head_dim % 2 != 0) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": \"head_dim\" is ", config.head_dim, ", but must be even."));
  }
  if (!(config.norm_eps >= 0 && config.norm_eps < 1)) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": \"rms_norm_eps\" is ", config.norm_eps, ", but must be 0 to 1."));
  }
}

DecoderConfig config_from_hf(const Json& config, const Json& generation, std::string_view who) {
  const ConfigFields fields(config, who);
  const ConfigFields generated(generation, cat(who, " (generation_config.json)"));
  const Family& family = family_of(fields);
  if (fields.has("quantization_config")) {
    throw Error(GRAFT_UNSUPPORTED,
                cat(who,
                    ": the weights are quantized (\"quantization_config\"), which graft does "
                    "not read. Take the model's unquantized folder or a GGUF file."));
  }
  DecoderConfig result;
  result.family = family.name;
  result.hidden = fields.integer("hidden_size").value_or(4096);
  result.layers = fields.integer("num_hidden_layers").value_or(32);
  result.heads = fields.integer("num_attention_heads").value_or(32);
  const bool kv_null = family.kv_heads == 0 || fields.is_null("num_key_value_heads");
  result.kv_heads =
      fields.integer("num_key_value_heads").value_or(kv_null ? result.heads : family.kv_heads);
  const std::int64_t split = result.heads > 0 ? result.hidden / result.heads : 0;
  result.head_dim =
      fields.integer("head_dim").value_or(family.head_dim == 0 ? split : family.head_dim);
  result.intermediate = fields.integer("intermediate_size").value_or(family.intermediate);
  result.vocab = fields.integer("vocab_size").value_or(family.vocab);
  result.max_positions = fields.integer("max_position_embeddings").value_or(family.max_positions);
  result.norm_eps = fields.number("rms_norm_eps").value_or(1e-6);
  check_sizes(result, who);

  const bool attention_bias =
      family.attention_bias && fields.boolean("attention_bias").value_or(false);
  result.q_bias = result.k_bias = result.v_bias = family.qkv_bias || attention_bias;
  result.o_bias = attention_bias;
  result.mlp_bias = family.mlp_bias && fields.boolean("mlp_bias").value_or(false);
  result.qk_norm = family.qk_norm;
  result.tied_head = fields.boolean("tie_word_embeddings").value_or(false);
  result.activation = fields.text("hidden_act").value_or("silu");
  result.window = windows(fields, family, result.layers);
  result.rope =
      rope_from_parameters(rope_parameters(fields), result.head_dim, result.max_positions, who);
  result.eos = tokens(generated, fields, "eos_token_id", family.eos);
  result.bos = one_token(tokens(generated, fields, "bos_token_id", family.bos));
  result.pad = one_token(tokens(generated, fields, "pad_token_id", std::nullopt));
  const auto dtype = fields.has("dtype") ? fields.text("dtype") : fields.text("torch_dtype");
  result.storage_dtype = find_dtype(dtype.value_or("")).value_or(0);
  result.generation = generation;
  result.hf = config;
  return result;
}

}  // namespace graft::core
