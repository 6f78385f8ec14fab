#include "core/model/config_layers.hpp"

#include <algorithm>
#include <cmath>

namespace graft::core {
namespace {

using Flags = std::vector<bool>;

/// Which layers have no rotation.
Flags without_rope(const ConfigFields& fields, const Family& family, std::int64_t layers) {
  Flags result(static_cast<std::size_t>(layers), false);
  if (family.no_rope_interval == 0) return result;
  const Json* given = fields.find("no_rope_layers");
  if (given == nullptr) {
    const std::int64_t n =
        fields.integer("no_rope_layer_interval").value_or(family.no_rope_interval);
    if (n < 1)
      fields.wrong("no_rope_layer_interval", *fields.find("no_rope_layer_interval"), "above 0");
    for (std::int64_t l = n - 1; l < layers; l += n) result[static_cast<std::size_t>(l)] = true;
    return result;
  }
  if (!given->is_array() || given->size() < result.size()) {
    fields.wrong("no_rope_layers", *given, cat("a list of ", layers, " numbers, one per layer"));
  }
  for (std::size_t l = 0; l < result.size(); ++l) {  // 1: the layer turns, 0: it does not
    const Json& value = (*given)[l];
    if (value != 0 && value != 1) fields.wrong("no_rope_layers", value, "0 or 1");
    result[l] = value == 0;
  }
  return result;
}

/// Which layers have a window where "layer_types" does not say.
Flags with_window(const ConfigFields& fields, const Family& family, const Flags& no_rope) {
  Flags result(no_rope.size(), family.window == Window::kAll);
  const auto layers = static_cast<std::int64_t>(no_rope.size());
  if (family.window == Window::kWithoutRope) return no_rope;
  if (family.window == Window::kFromLayer) {
    const std::int64_t first = fields.integer("max_window_layers").value_or(28);
    for (std::int64_t l = std::max<std::int64_t>(first, 0); l < layers; ++l) {
      result[static_cast<std::size_t>(l)] = true;
    }
  }
  if (family.window == Window::kPattern) {
    std::int64_t n = family.window_pattern;
    for (const char* key : {"_sliding_window_pattern", "sliding_window_pattern"}) {
      if (family.local_theta) n = fields.integer(key).value_or(n);
    }
    if (n < 1) {
      throw Error(GRAFT_E_INVALID,
                  cat(fields.who(), ": \"sliding_window_pattern\" is ", n, ", not above 0."));
    }
    for (std::int64_t l = 0; l < layers; ++l) {
      result[static_cast<std::size_t>(l)] = (l + 1) % n != 0;
    }
  }
  return result;
}

/// What "layer_types" says, where the family has them.
Flags layer_types(const ConfigFields& fields, const Family& family, Flags otherwise) {
  const Json* types = fields.find("layer_types");
  if (types == nullptr || family.window == Window::kNever || family.window == Window::kAll) {
    return otherwise;
  }
  if (!types->is_array() || types->size() != otherwise.size()) {
    fields.wrong("layer_types", *types,
                 cat("a list of ", otherwise.size(), " texts, one per layer"));
  }
  Flags result(otherwise.size(), false);
  for (std::size_t l = 0; l < result.size(); ++l) {
    const Json& type = (*types)[l];
    if (type != "sliding_attention" && type != "full_attention") {
      fields.wrong("layer_types", type, "\"full_attention\" or \"sliding_attention\"");
    }
    result[l] = type == "sliding_attention";
  }
  return result;
}

/// 0: there is none, or it is not in use.
std::int64_t window_size(const ConfigFields& fields, const Family& family) {
  const bool by_key = family.window == Window::kFromLayer || family.window == Window::kWithoutRope;
  if (family.window == Window::kNever || fields.is_null("sliding_window") ||
      (by_key && !fields.boolean("use_sliding_window").value_or(false))) {
    return 0;
  }
  const std::int64_t size = fields.integer("sliding_window").value_or(family.window_size);
  if (size < 0 || (size == 0 && fields.has("sliding_window"))) {
    fields.wrong("sliding_window", *fields.find("sliding_window"), "above 0");
  }
  return size;
}

// One flat object out of what transformers 4 (rope_theta, rope_scaling) and 5 (rope_parameters)
// write; rope_scaling wins where both are there. `kind` is the key for layers of one type, where
// there are several.
Json rope_parameters(const ConfigFields& fields, const Family& family, const char* kind) {
  const Json* found = fields.find("rope_scaling");
  if (found != nullptr && found->is_object() && found->empty()) found = nullptr;
  const char* key = found != nullptr ? "rope_scaling" : "rope_parameters";
  if (found == nullptr) found = fields.find(key);
  Json result = found != nullptr ? *found : Json::object();
  if (!result.is_object()) fields.wrong(key, result, "an object");
  const std::string_view type = kind != nullptr ? kind : "";
  if (kind != nullptr &&
      (result.contains("full_attention") || result.contains("sliding_attention"))) {
    const Json own = result.value(kind, Json(nullptr));
    result = own.is_null() ? Json::object() : own;
    if (!result.is_object()) fields.wrong(key, own, "an object for each type of layer");
  } else if (type == "sliding_attention") {
    result = Json::object();  // what stands at the top is for the others
  }
  for (const auto& [name, value] : result.items()) {
    if (value.is_object()) {
      throw Error(GRAFT_UNSUPPORTED, cat(fields.who(), ": \"", key, "\" has settings for \"", name,
                                         "\" alone, which this family does not have."));
    }
  }
  const auto from_top = [&](const char* name, std::string_view at, bool wins) {
    const std::string there(at);
    if (fields.has(there.c_str()) && (wins || !result.contains(name))) {
      result[name] = *fields.find(there.c_str());
    }
  };
  if (type == "sliding_attention") {
    from_top("rope_theta", "rope_local_base_freq", false);
    if (!result.contains("rope_theta")) result["rope_theta"] = *family.local_theta;
  } else {
    from_top("rope_theta", family.theta_key, false);
    from_top("partial_rotary_factor", family.rotary_key, false);
    // The original length at the top wins, as in transformers.
    from_top("original_max_position_embeddings", "original_max_position_embeddings", true);
    if (!result.contains("rope_theta")) result["rope_theta"] = family.theta;
  }
  const auto factor = ConfigFields(result, fields.who()).number("partial_rotary_factor");
  if (family.rotary && !factor) result["partial_rotary_factor"] = *family.rotary;
  if (!family.rotary && factor && *factor != 1) {
    throw Error(GRAFT_UNSUPPORTED,
                cat(fields.who(),
                    ": \"partial_rotary_factor\" is not 1, which this family does not have."));
  }
  if (family.original_length > 0) {
    for (const char* name : {"rope_type", "type"}) {  // two old names of the same
      if (result.contains(name) && (result[name] == "su" || result[name] == "yarn")) {
        result[name] = "longrope";
      }
    }
    if (!result.contains("original_max_position_embeddings")) {
      result["original_max_position_embeddings"] = family.original_length;
    }
  }
  return result;
}

void set_ropes(DecoderConfig& config, const ConfigFields& fields, const Flags& no_rope,
               const Flags& sliding) {
  const Family& family = *config.family;
  config.layer_rope.assign(no_rope.size(), -1);
  if (!family.names.positions.empty()) return;  // learned
  const auto rope = [&](const char* kind) {
    return rope_from_parameters(rope_parameters(fields, family, kind), config.head_dim,
                                config.max_positions, fields.who());
  };
  config.ropes.push_back(rope(family.local_theta ? "full_attention" : nullptr));
  if (family.local_theta) config.ropes.push_back(rope("sliding_attention"));
  for (std::size_t l = 0; l < no_rope.size(); ++l) {
    if (!no_rope[l]) config.layer_rope[l] = family.local_theta && sliding[l] ? 1 : 0;
  }
}

double softcap(const ConfigFields& fields, const char* key, std::optional<double> otherwise) {
  if (!otherwise || fields.is_null(key)) return 0;
  const double value = fields.number(key).value_or(*otherwise);
  if (value < 0 || (value == 0 && fields.has(key))) {
    fields.wrong(key, *fields.find(key), "above 0, or null");
  }
  return value;
}

}  // namespace

void set_scales(DecoderConfig& config, double query_scalar) {
  const double by = query_scalar > 0 ? query_scalar : static_cast<double>(config.head_dim);
  config.attention_scale.assign(static_cast<std::size_t>(config.layers), 1 / std::sqrt(by));
  if (config.family->scaled_embedding) {
    config.embedding_scale = std::sqrt(static_cast<double>(config.hidden));
  }
}

void set_layers(DecoderConfig& config, const ConfigFields& fields) {
  const Family& family = *config.family;
  double scalar = family.query_scalar;
  if (scalar > 0) scalar = fields.number("query_pre_attn_scalar").value_or(scalar);
  if (family.query_scalar > 0 && !(scalar > 0)) {
    fields.wrong("query_pre_attn_scalar", *fields.find("query_pre_attn_scalar"), "above 0");
  }
  set_scales(config, scalar);
  config.attention_softcap = softcap(fields, "attn_logit_softcapping", family.attention_softcap);
  config.final_softcap = softcap(fields, "final_logit_softcapping", family.final_softcap);
  if (!family.names.positions.empty()) {  // GPT-2
    const bool scaled = fields.boolean("scale_attn_weights").value_or(true);
    const bool by_layer = fields.boolean("scale_attn_by_inverse_layer_idx").value_or(false);
    for (std::size_t l = 0; l < config.attention_scale.size(); ++l) {
      double& scale = config.attention_scale[l];
      if (!scaled) scale = 1;
      if (by_layer) scale /= static_cast<double>(l + 1);
    }
  }
  for (const char* key : {"use_bidirectional_attention", "add_cross_attention"}) {
    if (fields.boolean(key).value_or(false)) {
      throw Error(GRAFT_UNSUPPORTED, cat(fields.who(), ": \"", key, "\" is true, which is not ",
                                         "supported: a token sees those before it alone."));
    }
  }

  const Flags no_rope = without_rope(fields, family, config.layers);
  const Flags sliding = layer_types(fields, family, with_window(fields, family, no_rope));
  const std::int64_t size = window_size(fields, family);
  config.window.assign(sliding.size(), 0);
  for (std::size_t l = 0; l < sliding.size(); ++l) config.window[l] = sliding[l] ? size : 0;
  if (size == 0 && fields.has("layer_types") &&
      std::find(sliding.begin(), sliding.end(), true) != sliding.end()) {
    throw Error(GRAFT_E_INVALID, cat(fields.who(), ": \"layer_types\" has sliding_attention, ",
                                     "but no \"sliding_window\" is in use."));
  }
  set_ropes(config, fields, no_rope, sliding);
}

}  // namespace graft::core
