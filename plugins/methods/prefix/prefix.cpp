// Prefix tuning: trained keys and values before those of each sequence, in every layer.
//
//   table [tokens, 2 layers kv]          or, with the projection,
//   table = tanh(E A^T + a) B^T + b      E [tokens, kv], A [hidden, kv], B [2 layers kv, hidden]
//
// Columns 2l are the keys of layer l, not rotated, columns 2l + 1 the values, each kv wide.
//
// Source: Li and Liang 2021, "Prefix-Tuning: Optimizing Continuous Prompts for Generation"
// (arXiv:2101.00190), eq. (3) and section 4.3 for the projection.
#include <graft/plugin_layers.hpp>
#include <graft/plugin_virtual.hpp>

namespace {
using namespace graft::plugin;

struct Prefix {
  static constexpr const char* name = "prefix";
  static constexpr std::uint32_t kinds = GRAFT_SITE_ATTN_KV;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "x-graft-targets": ".*", "properties": {
      )" GRAFT_VIRTUAL_OPTION R"(,
      "projection": {"type": "boolean", "default": false,
        "description": "make keys and values by a network with one hidden layer"},
      "hidden": {"type": ["integer", "null"], "default": null,
        "description": "width of the hidden layer; without it that of a layer's keys"},
      "init": {"type": "string", "enum": ["normal", "zero"], "default": "normal"}
    }})";
  static constexpr const char* storage = R"({
    "peft_type": "PREFIX_TUNING", )" GRAFT_VIRTUAL_STORED R"(,
    "fields": {)" GRAFT_VIRTUAL_FIELD R"(, "projection": "prefix_projection",
               "hidden": "encoder_hidden_size",
               "init": {"key": "init_weights", "values": {"normal": [null], "zero": ["zero"]}}},
    "constants": {"num_transformer_submodules": 1},
    "model": {"token_dim": "kv_features", "num_attention_heads": "kv_heads", "num_layers": "layers"},
    "computed": ["prompt_embeddings"], "beside": {"projection": false}
  })";

  struct State {
    Param table, embedding;
    LinearParams first, second;
    std::int64_t layer, heads, dim;
  };

  explicit Prefix(Config c)
      : tokens(c.i64("/tokens")),
        hidden(c.i64("/hidden")),
        projection(c.flag("/projection")),
        zero(c.str("/init") == "zero") {}

  void plan(const std::vector<Site>& sites) { layers = static_cast<std::int64_t>(sites.size()); }

  State attach(const Site& t) {
    t.virtual_tokens(tokens);
    State s{{}, {}, {}, {}, attached++, t.n_heads(), t.head_dim()};
    const std::int64_t kv = s.heads * s.dim, all = 2 * layers * kv, n = hidden > 0 ? hidden : kv;
    const Init none = Init::zeros();
    if (!projection) {
      s.table = t.param("prompt", {tokens, all}, zero ? none : Init::normal(1), GRAFT_PARAM_SHARED);
      return s;
    }
    const Declare param = declare_at(t, GRAFT_PARAM_SHARED | GRAFT_PARAM_BESIDE);
    const Init of_first = torch_init(kv), of_second = zero ? none : torch_init(n);
    s.embedding = param("embedding.weight", {tokens, kv}, Init::normal(1));
    s.first = linear(param, "transform.0", n, kv, of_first, of_first);
    s.second = linear(param, "transform.2", all, n, of_second, of_second);
    return s;
  }

  static Value columns(const State& s, const Hook& h, std::int64_t from, std::int64_t to) {
    if (s.table.tensor) return h(s.table).slice(1, from, to);
    const Value inner = s.first(h, h(s.embedding)).tanh();
    return inner.mmT(h(s.second.weight).slice(0, from, to)) + h(s.second.bias).slice(0, from, to);
  }

  void forward(const State& s, const Hook& h) const {
    const std::int64_t kv = s.heads * s.dim, from = 2 * s.layer * kv;
    const Value both = columns(s, h, from, from + 2 * kv);
    const auto part = [&](std::int64_t k) {
      return both.slice(1, k * kv, (k + 1) * kv).reshape({tokens, s.heads, s.dim});
    };
    const auto [k, v] = h.next_kv(h.in(0), h.in(1));
    h.out_kv(h.prepend(k, part(0)), h.prepend(v, part(1)));
  }

  Value stored(const State& s, const Hook& h, std::string_view) const {
    return columns(s, h, 0, 2 * layers * s.heads * s.dim);
  }

  std::int64_t tokens, hidden, layers = 0, attached = 0;
  bool projection, zero;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Prefix, "org.graft.prefix", "0.1.0", "graft", "Apache-2.0")
