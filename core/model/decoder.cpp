#include "core/model/decoder.hpp"

#include <cmath>
#include <map>

#include "core/base/error.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

/// A linear module of a layer.
struct LinearShape {
  std::string_view module;
  std::int64_t in, out;
  bool bias;
};

std::vector<LinearShape> layer_linears(const DecoderConfig& c) {
  const ModuleNames& names = c.names();
  const std::int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const std::vector<LinearShape> all = {{names.q, c.hidden, q, c.q_bias},
                                        {names.k, c.hidden, kv, c.k_bias},
                                        {names.v, c.hidden, kv, c.v_bias},
                                        {names.qkv, c.hidden, q + 2 * kv, c.q_bias},
                                        {names.o, q, c.hidden, c.o_bias},
                                        {names.gate, c.hidden, c.intermediate, c.mlp_bias},
                                        {names.up, c.hidden, c.intermediate, c.mlp_bias},
                                        {names.gate_up, c.hidden, 2 * c.intermediate, c.mlp_bias},
                                        {names.down, c.intermediate, c.hidden, c.mlp_bias}};
  std::vector<LinearShape> there;
  for (const LinearShape& m : all) {
    if (!m.module.empty()) there.push_back(m);
  }
  return there;
}

struct NormShape {
  std::string_view module;
  std::int64_t size;
  bool bias;
};

std::vector<NormShape> layer_norms(const DecoderConfig& c) {
  const ModuleNames& names = c.names();
  const bool whole = c.family->whole_qk_norm, bias = c.family->layer_norm;
  const std::vector<NormShape> all = {
      {names.before_attention, c.hidden, bias},
      {names.behind_attention, c.hidden, bias},
      {names.before_mlp, c.hidden, bias},
      {names.behind_mlp, c.hidden, bias},
      {names.q_norm, whole ? c.heads * c.head_dim : c.head_dim, false},
      {names.k_norm, whole ? c.kv_heads * c.head_dim : c.head_dim, false}};
  std::vector<NormShape> there;
  for (const NormShape& n : all) {
    if (!n.module.empty()) there.push_back(n);
  }
  return there;
}

std::string layer_name(const DecoderConfig& c, std::int64_t layer, std::string_view module) {
  return cat(c.names().layers, ".", layer, ".", module);
}

/// What a recording calls the frequencies of a kind of rotation.
std::string rope_input(std::size_t kind) {
  return kind == 0 ? "inv_freq" : cat("inv_freq.", kind);
}

/// GRAFT_ACT_*, and -1 for quick_gelu, which is made of others.
const std::map<std::string, std::int32_t, std::less<>>& activations() {
  static const std::map<std::string, std::int32_t, std::less<>> kinds = {
      {"silu", GRAFT_ACT_SILU},
      {"swish", GRAFT_ACT_SILU},
      {"relu", GRAFT_ACT_RELU},
      {"tanh", GRAFT_ACT_TANH},
      {"sigmoid", GRAFT_ACT_SIGMOID},
      {"gelu", GRAFT_ACT_GELU},
      {"gelu_python", GRAFT_ACT_GELU},
      {"gelu_new", GRAFT_ACT_GELU_TANH},
      {"gelu_fast", GRAFT_ACT_GELU_TANH},
      {"gelu_pytorch_tanh", GRAFT_ACT_GELU_TANH},
      {"quick_gelu", -1}};
  return kinds;
}

double rounded_to(std::uint32_t dtype, double value) {
  if (dtype != GRAFT_BF16 && dtype != GRAFT_F16) return static_cast<float>(value);
  const auto wide = static_cast<float>(value);
  std::uint16_t narrow = 0;
  float result = 0;
  convert(dtype, &narrow, GRAFT_F32, &wide, 1);
  convert(GRAFT_F32, &result, dtype, &narrow, 1);
  return result;
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

  /// Rows of the embedding, behind the site times the family's factor.
  ValueId embed(ValueId ids) {
    const ValueId x = table(c_.names().embedding, ids);
    if (c_.embedding_scale == 1) return x;
    return r_.affine(x, rounded_to(d_.mode.dtype, c_.embedding_scale), 0);
  }

  ValueId add_positions(ValueId x) {
    if (c_.names().positions.empty()) return x;
    return r_.add(x, table(c_.names().positions, positions(x)));
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
    const ValueId b = site.has_bias ? d_.weight(r_, name + ".bias") : kNone;
    const std::int32_t kind = c_.family->layer_norm ? GRAFT_NORM_LAYER : GRAFT_NORM_RMS;
    return d_.run(r_, {site, {x}, w, b, [&](const std::vector<ValueId>& in) {
                         return std::vector<ValueId>{
                             r_.norm(in[0], w, b, kind, c_.norm_eps, c_.family->norm_offset)};
                       }})[0];
  }

  /// The norm of that name in the layer, where the family has one.
  ValueId layer_norm(std::string_view name, ValueId x, std::int32_t layer) {
    return name.empty() ? x : norm(layer_name(c_, layer, name), x, layer);
  }

  /// The sublayer's output behind the residual site.
  ValueId branch(const char* name, ValueId x, ValueId y, std::int32_t layer) {
    const SiteInfo& site = at(layer_name(c_, layer, name), layer);
    return d_.run(r_, {site, {x, y}, kNone, kNone, [](const std::vector<ValueId>& in) {
                         return std::vector<ValueId>{in[1]};
                       }})[0];
  }

  struct Projected {
    ValueId q, k, v;
  };

  /// Queries, keys and values, [rows, heads, head_dim], their norms taken.
  Projected project(ValueId x, std::int32_t layer) {
    const ModuleNames& names = c_.names();
    const Extent rows = r_.shape(x)[0];
    const std::int64_t d = c_.head_dim, h = c_.heads, g = c_.kv_heads;
    const auto in_layer = [&](std::string_view m) { return layer_name(c_, layer, m); };
    Projected p{};
    if (names.qkv.empty()) {
      p = {linear(in_layer(names.q), x, layer), linear(in_layer(names.k), x, layer),
           linear(in_layer(names.v), x, layer)};
    } else if (c_.family->qkv_by_head) {
      const ValueId all = r_.reshape(linear(in_layer(names.qkv), x, layer), {rows, h, 3 * d});
      p = {r_.slice(all, 2, 0, d), r_.slice(all, 2, d, 2 * d), r_.slice(all, 2, 2 * d, 3 * d)};
    } else {
      const ValueId all = linear(in_layer(names.qkv), x, layer);
      p = {r_.slice(all, 1, 0, h * d), r_.slice(all, 1, h * d, (h + g) * d),
           r_.slice(all, 1, (h + g) * d, (h + 2 * g) * d)};
    }
    const auto norms = [&] {
      p.q = layer_norm(names.q_norm, p.q, layer);
      p.k = layer_norm(names.k_norm, p.k, layer);
    };
    if (c_.family->whole_qk_norm) norms();
    p = {r_.reshape(p.q, {rows, h, d}), r_.reshape(p.k, {rows, g, d}),
         r_.reshape(p.v, {rows, g, d})};
    if (!c_.family->whole_qk_norm) norms();
    return p;
  }

  ValueId attention(ValueId x, std::int32_t layer) {
    const auto module = [&](const char* m) { return layer_name(c_, layer, m); };
    const Extent rows = r_.shape(x)[0];
    auto [q, k, v] = project(x, layer);
    const SiteInfo& kv = at(module("self_attn.kv"), layer);
    q = rotated(q, x, layer);
    k = rotated(k, x, layer);
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
    const auto l = static_cast<std::size_t>(layer);
    const ValueId o = r_.record("attention", {q, k, v, cu_q, k_begin, k_len},
                                {{"scale", 0, c_.attention_scale.at(l)},
                                 {"causal", 1, 0},
                                 {"window", c_.window.at(l), 0},
                                 {"softcap", 0, c_.attention_softcap}})
                          .at(0);
    return linear(layer_name(c_, layer, c_.names().o),
                  r_.reshape(o, {rows, c_.heads * c_.head_dim}), layer);
  }

  ValueId mlp(ValueId x, std::int32_t layer) {
    const ModuleNames& names = c_.names();
    const auto in_layer = [&](std::string_view m) { return layer_name(c_, layer, m); };
    ValueId gate = kNone, up = kNone;
    if (!names.gate_up.empty()) {
      const ValueId both = linear(in_layer(names.gate_up), x, layer);
      gate = r_.slice(both, 1, 0, c_.intermediate);
      up = r_.slice(both, 1, c_.intermediate, 2 * c_.intermediate);
    } else {
      if (!names.gate.empty()) gate = linear(in_layer(names.gate), x, layer);
      up = linear(in_layer(names.up), x, layer);
    }
    r_.at(in_layer("mlp"), layer);
    ValueId h = kNone;
    if (gate == kNone) {
      h = activated(up);
    } else if (activations().at(c_.activation) == GRAFT_ACT_SILU) {
      h = r_.one("swiglu", {gate, up});
    } else {
      h = r_.mul(activated(gate), up);
    }
    return linear(in_layer(names.down), h, layer);
  }

  ValueId block(ValueId x, std::int32_t layer) {
    const ModuleNames& names = c_.names();
    const auto attend = [&](ValueId in) {
      const ValueId a = attention(layer_norm(names.before_attention, in, layer), layer);
      return branch("self_attn.residual", in, layer_norm(names.behind_attention, a, layer), layer);
    };
    const auto feed = [&](ValueId in) {
      const ValueId m = mlp(layer_norm(names.before_mlp, in, layer), layer);
      return branch("mlp.residual", in, layer_norm(names.behind_mlp, m, layer), layer);
    };
    if (c_.parallel_residual) {
      const ValueId a = attend(x);
      return r_.add(r_.add(x, a), feed(x));
    }
    x = r_.add(x, attend(x));
    return r_.add(x, feed(x));
  }

 private:
  const SiteInfo& at(const std::string& name, std::int32_t layer) {
    r_.at(name, layer);
    return sites_.at(name);
  }

  ValueId table(std::string_view module, ValueId ids) {
    const std::string name(module);
    const SiteInfo& site = at(name, -1);
    const ValueId w = d_.weight(r_, name + ".weight");
    return d_.run(r_, {site, {ids}, w, kNone, [&](const std::vector<ValueId>& in) {
                         return std::vector<ValueId>{r_.one("gather", {w, in[0]})};
                       }})[0];
  }

  ValueId positions(ValueId x) { return r_.input("positions", GRAFT_I32, {r_.shape(x)[0]}); }

  /// q or k [rows, heads, head_dim] turned as the layer does; x has as many rows.
  ValueId rotated(ValueId q, ValueId x, std::int32_t layer) {
    const std::int32_t kind = c_.layer_rope.at(static_cast<std::size_t>(layer));
    if (kind < 0) return q;
    const auto i = static_cast<std::size_t>(kind);
    const Rope& rope = c_.ropes.at(i);
    const std::int64_t half = rope.rotary_dim / 2;
    ValueId frequencies = kNone;
    if (rope.long_inv_freq.empty()) {
      frequencies = r_.input(rope_input(i), GRAFT_F32, {half});
    } else {
      if (by_row_ == kNone) {
        const ValueId both = r_.input(rope_input(i), GRAFT_F32, {2, half});
        const ValueId which = r_.input("rope_table", GRAFT_I32, {r_.shape(x)[0]});
        by_row_ = r_.one("gather", {both, which});
      }
      frequencies = by_row_;
    }
    return r_.one("rope", {q, positions(x), frequencies},
                  {{"scale", 0, static_cast<double>(rope.attention_scaling)}});
  }

  ValueId activated(ValueId x) {
    const std::int32_t kind = activations().at(c_.activation);
    if (kind >= 0) return r_.act(x, kind);
    return r_.mul(x, r_.act(r_.affine(x, 1.702, 0), GRAFT_ACT_SIGMOID));
  }

  Recorder& r_;
  const DecoderRecording& d_;
  const DecoderConfig& c_;
  std::map<std::string, SiteInfo> sites_;
  ValueId by_row_ = kNone;  // longrope: the frequencies of each row
};

}  // namespace

void check_activation(const std::string& name, std::string_view who) {
  if (activations().count(name) > 0) return;
  std::string known;
  for (const auto& [other, kind] : activations()) known += cat(known.empty() ? "" : ", ", other);
  throw Error(GRAFT_UNSUPPORTED,
              cat(who, " is \"", name, "\", which is not supported. Supported: ", known, "."));
}

std::vector<TensorNeed> decoder_tensors(const DecoderConfig& c) {
  const ModuleNames& names = c.names();
  const bool norm_bias = c.family->layer_norm;
  std::vector<TensorNeed> needs = {{c.embedding_name(), {c.vocab, c.hidden}}};
  if (!names.positions.empty()) {
    needs.push_back({cat(names.positions, ".weight"), {c.max_positions, c.hidden}});
  }
  const auto norm = [&](const std::string& module, std::int64_t size, bool bias) {
    needs.push_back({module + ".weight", {size}});
    if (bias) needs.push_back({module + ".bias", {size}});
  };
  for (std::int64_t l = 0; l < c.layers; ++l) {
    for (const LinearShape& m : layer_linears(c)) {
      const std::string module = layer_name(c, l, m.module);
      needs.push_back({module + ".weight", {m.out, m.in}, c.family->transposed});
      if (m.bias) needs.push_back({module + ".bias", {m.out}});
    }
    for (const NormShape& n : layer_norms(c)) norm(layer_name(c, l, n.module), n.size, n.bias);
  }
  norm(std::string(names.norm), c.hidden, norm_bias);
  if (!c.tied_head) needs.push_back({c.head_name(), {c.vocab, c.hidden}});
  return needs;
}

std::vector<SiteInfo> decoder_sites(const DecoderConfig& c) {
  const ModuleNames& names = c.names();
  const auto text = [](std::string_view name) { return std::string(name); };
  std::vector<SiteInfo> sites;
  const auto add = [&](std::string name, std::int32_t kind, std::int64_t in, std::int64_t out,
                       std::int64_t layer, bool bias) -> SiteInfo& {
    sites.push_back({std::move(name), kind, in, out, 0, 0, static_cast<std::int32_t>(layer), bias});
    return sites.back();
  };
  add(text(names.embedding), GRAFT_SITE_EMBEDDING, c.vocab, c.hidden, -1, false).scale =
      c.embedding_scale;
  if (!names.positions.empty()) {
    add(text(names.positions), GRAFT_SITE_EMBEDDING, c.max_positions, c.hidden, -1, false)
        .positions = true;
  }
  const std::int64_t kv = c.kv_heads * c.head_dim;
  for (std::int64_t l = 0; l < c.layers; ++l) {
    for (const LinearShape& m : layer_linears(c)) {
      add(layer_name(c, l, m.module), GRAFT_SITE_LINEAR, m.in, m.out, l, m.bias);
    }
    for (const NormShape& n : layer_norms(c)) {
      add(layer_name(c, l, n.module), GRAFT_SITE_NORM, n.size, n.size, l, n.bias);
    }
    SiteInfo& keys = add(layer_name(c, l, "self_attn.kv"), GRAFT_SITE_ATTN_KV, kv, kv, l, false);
    keys.heads = c.kv_heads;
    keys.head_dim = c.head_dim;
    for (const char* m : {"self_attn.residual", "mlp.residual"}) {
      add(layer_name(c, l, m), GRAFT_SITE_RESIDUAL, c.hidden, c.hidden, l, false);
    }
  }
  add(text(names.norm), GRAFT_SITE_NORM, c.hidden, c.hidden, -1, c.family->layer_norm);
  add(text(names.head), GRAFT_SITE_LINEAR, c.hidden, c.vocab, -1, false);
  return sites;
}

void set_rope_inputs(Program& program, const DecoderConfig& c) {
  for (std::size_t i = 0; i < c.ropes.size(); ++i) {
    std::vector<float> values = c.ropes[i].inv_freq;
    const std::vector<float>& longer = c.ropes[i].long_inv_freq;
    values.insert(values.end(), longer.begin(), longer.end());
    program.set_input(rope_input(i), values.data(), values.size() * sizeof(float));
  }
}

std::int32_t rope_table(const DecoderConfig& c, std::int64_t length) {
  if (!c.names().positions.empty() && length > c.max_positions) {
    throw Error(GRAFT_E_INVALID,
                cat("a sequence has ", length, " tokens, virtual ones included, but the model has ",
                    "learnt ", c.max_positions, " positions. Shorten it (in training with ",
                    "data.max_length)."));
  }
  for (const Rope& rope : c.ropes) {
    if (!rope.long_inv_freq.empty() && length > rope.original_length) return 1;
  }
  return 0;
}

ValueId DecoderRecording::hidden(Recorder& r) const {
  Writer writer(r, *this);
  ValueId x = writer.add_positions(writer.embed(r.input("ids", GRAFT_I32, {Symbol::kRows})));
  for (std::int64_t l = 0; l < config.layers; ++l) {
    x = writer.block(x, static_cast<std::int32_t>(l));
  }
  return writer.norm(std::string(config.names().norm), x, -1);
}

ValueId DecoderRecording::logits(Recorder& r, ValueId hidden, ValueId row_ids) const {
  Writer writer(r, *this);
  const std::string head(config.names().head);
  r.at(head, -1);
  const ValueId z = writer.linear(head, r.one("gather", {hidden, row_ids}), -1);
  const double cap = config.final_softcap;
  if (cap == 0) return z;
  return r.affine(r.act(r.affine(z, 1 / cap, 0), GRAFT_ACT_TANH), cap, 0);
}

}  // namespace graft::core
