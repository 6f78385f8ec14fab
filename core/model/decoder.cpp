#include "core/model/decoder.hpp"

#include <cmath>
#include <map>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

/// A linear module of a layer.
struct LinearShape {
  const char* module;
  std::int64_t in, out;
  bool bias;
};

std::vector<LinearShape> layer_linears(const DecoderConfig& c) {
  const std::int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  return {{"self_attn.q_proj", c.hidden, q, c.q_bias},
          {"self_attn.k_proj", c.hidden, kv, c.k_bias},
          {"self_attn.v_proj", c.hidden, kv, c.v_bias},
          {"self_attn.o_proj", q, c.hidden, c.o_bias},
          {"mlp.gate_proj", c.hidden, c.intermediate, c.mlp_bias},
          {"mlp.up_proj", c.hidden, c.intermediate, c.mlp_bias},
          {"mlp.down_proj", c.intermediate, c.hidden, c.mlp_bias}};
}

struct NormShape {
  const char* module;
  std::int64_t size;
};

std::vector<NormShape> layer_norms(const DecoderConfig& c) {
  std::vector<NormShape> norms = {{"input_layernorm", c.hidden},
                                  {"post_attention_layernorm", c.hidden}};
  if (c.qk_norm) {
    norms.push_back({"self_attn.q_norm", c.head_dim});
    norms.push_back({"self_attn.k_norm", c.head_dim});
  }
  return norms;
}

std::string layer_name(std::int64_t layer, const char* module) {
  return cat("model.layers.", layer, ".", module);
}

std::int32_t activation_kind(const std::string& name) {
  static const std::map<std::string, std::int32_t> kinds = {
      {"silu", GRAFT_ACT_SILU},          {"swish", GRAFT_ACT_SILU},
      {"relu", GRAFT_ACT_RELU},          {"gelu", GRAFT_ACT_GELU},
      {"gelu_new", GRAFT_ACT_GELU_TANH}, {"gelu_pytorch_tanh", GRAFT_ACT_GELU_TANH}};
  const auto found = kinds.find(name);
  if (found == kinds.end()) {
    throw Error(GRAFT_E_INVALID, cat("config.json: hidden_act '", name,
                                     "' is not known; known are silu, relu, gelu, gelu_new."));
  }
  return found->second;
}

/// Records the modules of one decoder, naming each site as it goes.
class Writer {
 public:
  Writer(Recorder& r, const DecoderRecording& d) : r_(r), d_(d), c_(d.config) {
    for (SiteInfo& site : decoder_sites(c_)) {
      const std::string name = site.name;
      sites_.emplace(name, std::move(site));
    }
  }

  ValueId embed(ValueId ids) {
    const SiteInfo& site = at("model.embed_tokens", -1);
    const ValueId w = d_.weight(r_, "model.embed_tokens.weight");
    return d_.run(r_, {site, {ids}, w, kNone, [&](const std::vector<ValueId>& in) {
                         return std::vector<ValueId>{r_.one("gather", {w, in[0]})};
                       }})[0];
  }

  ValueId linear(const std::string& name, ValueId x, std::int32_t layer) {
    const SiteInfo& site = at(name, layer);
    const ValueId w = d_.weight(r_, name + ".weight");
    const ValueId b = site.has_bias ? d_.weight(r_, name + ".bias") : kNone;
    return d_.run(r_, {site, {x}, w, b, [&](const std::vector<ValueId>& in) {
                         return std::vector<ValueId>{r_.matmul(in[0], w, GRAFT_TRANS_B, b)};
                       }})[0];
  }

  ValueId norm(const std::string& name, ValueId x, std::int32_t layer) {
    const SiteInfo& site = at(name, layer);
    const ValueId w = d_.weight(r_, name + ".weight");
    return d_.run(
        r_, {site, {x}, w, kNone, [&](const std::vector<ValueId>& in) {
               return std::vector<ValueId>{r_.norm(in[0], w, kNone, GRAFT_NORM_RMS, c_.norm_eps)};
             }})[0];
  }

  /// x + sublayer(x), the sublayer's output going through the residual site.
  ValueId residual(const std::string& name, ValueId x, ValueId y, std::int32_t layer) {
    const SiteInfo& site = at(name, layer);
    const ValueId out = d_.run(r_, {site, {x, y}, kNone, kNone, [](const std::vector<ValueId>& in) {
                                      return std::vector<ValueId>{in[1]};
                                    }})[0];
    return r_.add(x, out);
  }

  ValueId attention(ValueId x, std::int32_t layer) {
    const auto module = [&](const char* m) { return layer_name(layer, m); };
    const Extent rows = r_.shape(x)[0];
    ValueId q =
        r_.reshape(linear(module("self_attn.q_proj"), x, layer), {rows, c_.heads, c_.head_dim});
    ValueId k =
        r_.reshape(linear(module("self_attn.k_proj"), x, layer), {rows, c_.kv_heads, c_.head_dim});
    ValueId v =
        r_.reshape(linear(module("self_attn.v_proj"), x, layer), {rows, c_.kv_heads, c_.head_dim});
    if (c_.qk_norm) {
      q = norm(module("self_attn.q_norm"), q, layer);
      k = norm(module("self_attn.k_norm"), k, layer);
    }
    const ValueId positions = r_.input("positions", GRAFT_I32, {rows});
    const ValueId inv_freq = r_.input("inv_freq", GRAFT_F32, {c_.rope.rotary_dim / 2});
    at(module("self_attn.kv"), layer);
    const Attr scale = {"scale", 0, static_cast<double>(c_.rope.attention_scaling)};
    q = r_.one("rope", {q, positions, inv_freq}, {scale});
    k = r_.one("rope", {k, positions, inv_freq}, {scale});
    const SiteInfo& kv = at(module("self_attn.kv"), layer);
    const std::vector<ValueId> keys_values =
        d_.run(r_, {kv, {k, v}, kNone, kNone, [](const std::vector<ValueId>& in) { return in; }});
    k = keys_values.at(0);
    v = keys_values.at(1);
    at(module("self_attn.kv"), layer);
    if (d_.mode.cache_rows > 0) {
      const ValueId where = r_.input("cache_rows", GRAFT_I32, {r_.shape(k)[0]});
      const Shape shape = {d_.mode.cache_rows, c_.kv_heads, c_.head_dim};
      const ValueId key_cache =
          r_.leaf(Role::kBuffer, 2 * layer, d_.mode.dtype, shape, module("key cache"));
      const ValueId value_cache =
          r_.leaf(Role::kBuffer, 2 * layer + 1, d_.mode.dtype, shape, module("value cache"));
      r_.record("write_rows", {k, where, key_cache});
      r_.record("write_rows", {v, where, value_cache});
      k = key_cache;
      v = value_cache;
    }
    const ValueId cu_q = r_.input("cu_q", GRAFT_I32, {Extent(Symbol::kSequences) + Extent(1)});
    const ValueId k_begin = r_.input("k_begin", GRAFT_I32, {Symbol::kSequences});
    const ValueId k_len = r_.input("k_len", GRAFT_I32, {Symbol::kSequences});
    const ValueId o = r_.record("attention", {q, k, v, cu_q, k_begin, k_len},
                                {{"scale", 0, 1 / std::sqrt(static_cast<double>(c_.head_dim))},
                                 {"causal", 1, 0},
                                 {"window", c_.window.at(static_cast<std::size_t>(layer)), 0}})
                          .at(0);
    return linear(module("self_attn.o_proj"), r_.reshape(o, {rows, c_.heads * c_.head_dim}), layer);
  }

  ValueId mlp(ValueId x, std::int32_t layer) {
    const auto module = [&](const char* m) { return layer_name(layer, m); };
    const ValueId gate = linear(module("mlp.gate_proj"), x, layer);
    const ValueId up = linear(module("mlp.up_proj"), x, layer);
    r_.at(module("mlp"), layer);
    const std::int32_t kind = activation_kind(c_.activation);
    const ValueId h =
        kind == GRAFT_ACT_SILU ? r_.one("swiglu", {gate, up}) : r_.mul(r_.act(gate, kind), up);
    return linear(module("mlp.down_proj"), h, layer);
  }

  ValueId block(ValueId x, std::int32_t layer) {
    const auto module = [&](const char* m) { return layer_name(layer, m); };
    const ValueId a = attention(norm(module("input_layernorm"), x, layer), layer);
    x = residual(module("self_attn.residual"), x, a, layer);
    const ValueId m = mlp(norm(module("post_attention_layernorm"), x, layer), layer);
    return residual(module("mlp.residual"), x, m, layer);
  }

 private:
  const SiteInfo& at(const std::string& name, std::int32_t layer) {
    r_.at(name, layer);
    return sites_.at(name);
  }

  Recorder& r_;
  const DecoderRecording& d_;
  const DecoderConfig& c_;
  std::map<std::string, SiteInfo> sites_;
};

}  // namespace

std::vector<TensorNeed> decoder_tensors(const DecoderConfig& c) {
  std::vector<TensorNeed> needs = {{"model.embed_tokens.weight", {c.vocab, c.hidden}}};
  for (std::int64_t l = 0; l < c.layers; ++l) {
    for (const LinearShape& m : layer_linears(c)) {
      needs.push_back({layer_name(l, m.module) + ".weight", {m.out, m.in}});
      if (m.bias) needs.push_back({layer_name(l, m.module) + ".bias", {m.out}});
    }
    for (const NormShape& n : layer_norms(c)) {
      needs.push_back({layer_name(l, n.module) + ".weight", {n.size}});
    }
  }
  needs.push_back({"model.norm.weight", {c.hidden}});
  if (!c.tied_head) needs.push_back({"lm_head.weight", {c.vocab, c.hidden}});
  return needs;
}

std::vector<SiteInfo> decoder_sites(const DecoderConfig& c) {
  std::vector<SiteInfo> sites;
  sites.push_back({"model.embed_tokens", GRAFT_SITE_EMBEDDING, c.vocab, c.hidden, 0, 0, -1, false});
  const std::int64_t kv = c.kv_heads * c.head_dim;
  for (std::int64_t l = 0; l < c.layers; ++l) {
    const auto layer = static_cast<std::int32_t>(l);
    for (const LinearShape& m : layer_linears(c)) {
      sites.push_back(
          {layer_name(l, m.module), GRAFT_SITE_LINEAR, m.in, m.out, 0, 0, layer, m.bias});
    }
    for (const NormShape& n : layer_norms(c)) {
      sites.push_back(
          {layer_name(l, n.module), GRAFT_SITE_NORM, n.size, n.size, 0, 0, layer, false});
    }
    sites.push_back({layer_name(l, "self_attn.kv"), GRAFT_SITE_ATTN_KV, kv, kv, c.kv_heads,
                     c.head_dim, layer, false});
    for (const char* m : {"self_attn.residual", "mlp.residual"}) {
      sites.push_back(
          {layer_name(l, m), GRAFT_SITE_RESIDUAL, c.hidden, c.hidden, 0, 0, layer, false});
    }
  }
  sites.push_back({"model.norm", GRAFT_SITE_NORM, c.hidden, c.hidden, 0, 0, -1, false});
  sites.push_back({"lm_head", GRAFT_SITE_LINEAR, c.hidden, c.vocab, 0, 0, -1, false});
  return sites;
}

ValueId DecoderRecording::hidden(Recorder& r) const {
  Writer writer(r, *this);
  ValueId x = writer.embed(r.input("ids", GRAFT_I32, {Symbol::kRows}));
  for (std::int64_t l = 0; l < config.layers; ++l) {
    x = writer.block(x, static_cast<std::int32_t>(l));
  }
  return writer.norm("model.norm", x, -1);
}

ValueId DecoderRecording::logits(Recorder& r, ValueId hidden, ValueId row_ids) const {
  Writer writer(r, *this);
  r.at("lm_head", -1);
  return writer.linear("lm_head", r.one("gather", {hidden, row_ids}), -1);
}

}  // namespace graft::core
