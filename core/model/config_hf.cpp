#include <algorithm>
#include <array>

#include "core/model/config.hpp"
#include "core/model/config_fields.hpp"
#include "core/model/config_layers.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

const Family& family_of(const ConfigFields& fields) {
  const auto type = fields.text("model_type");
  if (!type) {
    throw Error(GRAFT_E_INVALID,
                cat(fields.who(), ": \"model_type\" is missing. Supported: ", family_list(), "."));
  }
  if (const Family* family = find_family(*type)) return *family;
  throw Error(GRAFT_UNSUPPORTED, cat(fields.who(), ": models of type \"", *type,
                                     "\" are not supported. Supported: ", family_list(), "."));
}

/// The first of the keys that is there: families call their sizes differently.
std::optional<std::int64_t> integer(const ConfigFields& fields,
                                    std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (const auto value = fields.integer(key)) return value;
  }
  return std::nullopt;
}

bool bias(const ConfigFields& fields, Bias kind, const char* key) {
  if (kind == Bias::kNo || kind == Bias::kYes) return kind == Bias::kYes;
  return fields.boolean(key).value_or(kind == Bias::kKeyTrue);
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

std::string activation(const ConfigFields& fields, const Family& family) {
  const std::string key(family.activation_key);
  std::string name = fields.text(key.c_str()).value_or(std::string(family.activation));
  // Old files of Gemma say so and mean the approximation, which is the only one that it has.
  if (family.type == "gemma" && name == "gelu") name = family.activation;
  check_activation(name, cat(fields.who(), ": \"", key, "\""));
  return name;
}

std::optional<std::int32_t> one_token(const std::vector<std::int32_t>& found) {
  return found.empty() ? std::nullopt : std::optional(found.front());
}

}  // namespace

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
  const Family& family = *config.family;
  if (config.head_dim % 2 != 0 && family.names.positions.empty() && !family.rotary) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": \"head_dim\" is ", config.head_dim, ", but must be even."));
  }
  if (!(config.norm_eps >= 0 && config.norm_eps < 1)) {
    throw Error(GRAFT_E_INVALID, cat(who, ": \"", config.family->eps_key, "\" is ", config.norm_eps,
                                     ", but must be 0 to 1."));
  }
}

namespace {

/// Nothing for weights that bitsandbytes quantized, whose tensors tell all.
std::optional<Packing> packing(const Json& quantized, const std::string& who) {
  const ConfigFields fields(quantized, who);
  const std::string by = fields.text("quant_method").value_or("");
  if (by == "bitsandbytes") return std::nullopt;
  const auto refuse = [&](const auto&... what) {
    throw Error(GRAFT_UNSUPPORTED,
                cat(who, ": ", what..., ". Take the model's unquantized folder or a GGUF file."));
  };
  if (by != "gptq" && by != "awq") {
    refuse("the weights are quantized by \"", by,
           "\", which graft does not read; it reads bitsandbytes, gptq and awq");
  }
  Packing result;
  result.awq = by == "awq";
  result.bits = fields.integer("bits").value_or(4);
  result.group = fields.integer("group_size").value_or(result.awq ? 128 : -1);
  const bool known = result.bits == 4 || (!result.awq && (result.bits == 2 || result.bits == 8));
  if (!known) {
    refuse("weights of ", result.bits, " bits; ",
           result.awq ? "4 are read of awq" : "2, 4 and 8 are read of gptq");
  }
  if (result.group != -1 && result.group < 1) refuse("groups of ", result.group, " inputs");
  if (result.awq) {
    const std::string version = fields.text("version").value_or("gemm");
    if (version != "gemm" && version != "GEMM")
      refuse("version \"", version, "\"; \"gemm\" is read");
    return result;
  }
  const std::string format = fields.text("checkpoint_format").value_or("gptq");
  if (format != "gptq" && format != "gptq_v2") {
    refuse("checkpoint_format \"", format, "\"; \"gptq\" and \"gptq_v2\" are read");
  }
  result.zero_offset = format == "gptq" ? 1 : 0;
  return result;
}

}  // namespace

DecoderConfig config_from_hf(const Json& config, const Json& generation, std::string_view who) {
  const ConfigFields fields(config, who);
  const ConfigFields generated(generation, cat(who, " (generation_config.json)"));
  const Family& family = family_of(fields);
  DecoderConfig result;
  if (fields.has("quantization_config")) {
    result.packing = packing(config["quantization_config"], cat(who, ": \"quantization_config\""));
  }
  result.family = &family;
  result.hidden = integer(fields, {"hidden_size", "n_embd"}).value_or(family.hidden);
  result.layers = integer(fields, {"num_hidden_layers", "n_layer"}).value_or(family.layers);
  result.heads = integer(fields, {"num_attention_heads", "n_head"}).value_or(family.heads);
  const bool kv_null = family.kv_heads == 0 || fields.is_null("num_key_value_heads");
  result.kv_heads =
      fields.integer("num_key_value_heads").value_or(kv_null ? result.heads : family.kv_heads);
  const std::int64_t split = result.heads > 0 ? result.hidden / result.heads : 0;
  result.head_dim =
      fields.integer("head_dim").value_or(family.head_dim == 0 ? split : family.head_dim);
  result.intermediate =
      integer(fields, {"intermediate_size", "n_inner"})
          .value_or(family.intermediate == 0 ? 4 * result.hidden : family.intermediate);
  result.vocab = fields.integer("vocab_size").value_or(family.vocab);
  result.max_positions =
      integer(fields, {"max_position_embeddings", "n_positions"}).value_or(family.max_positions);
  result.norm_eps = fields.number(std::string(family.eps_key).c_str()).value_or(family.norm_eps);
  check_sizes(result, who);

  result.q_bias = result.k_bias = result.v_bias = bias(fields, family.qkv_bias, "attention_bias");
  result.o_bias = bias(fields, family.o_bias, "attention_bias");
  result.mlp_bias = bias(fields, family.mlp_bias, "mlp_bias");
  result.tied_head = fields.boolean("tie_word_embeddings").value_or(family.tied);
  result.parallel_residual =
      family.parallel && fields.boolean("use_parallel_residual").value_or(true);
  result.activation = activation(fields, family);
  set_layers(result, fields);
  result.eos = tokens(generated, fields, "eos_token_id", family.eos);
  result.bos = one_token(tokens(generated, fields, "bos_token_id", family.bos));
  result.pad = one_token(tokens(generated, fields, "pad_token_id", family.pad));
  const auto dtype = fields.has("dtype") ? fields.text("dtype") : fields.text("torch_dtype");
  result.storage_dtype = find_dtype(dtype.value_or("")).value_or(0);
  result.generation = generation;
  result.hf = config;
  return result;
}

}  // namespace graft::core
