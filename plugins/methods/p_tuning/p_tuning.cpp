// P-tuning: virtual tokens before each sequence, made by a small network from trained embeddings.
//
//   mlp    E -> linear, relu, linear, relu, linear
//   lstm   E -> LSTM in both directions -> linear, relu, linear
//   none   E itself: what is left when a file holds the made tokens only
//
// Source: Liu et al. 2021, "GPT Understands, Too" (arXiv:2103.10385), eq. (2). The networks and the
// names of their tensors are PEFT's.
#include <graft/plugin_layers.hpp>
#include <graft/plugin_virtual.hpp>

namespace {
using namespace graft::plugin;

struct PTuning {
  static constexpr const char* name = "p_tuning";
  static constexpr std::uint32_t kinds = GRAFT_SITE_EMBEDDING;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "x-graft-targets": ".*", "properties": {
      )" GRAFT_VIRTUAL_OPTION R"(,
      "encoder": {"type": "string", "enum": ["mlp", "lstm", "none"], "default": "mlp"},
      "hidden": {"type": ["integer", "null"], "default": null,
        "description": "width of the network; without it that of the model"},
      "layers": {"type": "integer", "minimum": 1, "default": 2, "description": "of the LSTM"}
    }})";
  static constexpr const char* storage = R"({
    "peft_type": "P_TUNING", )" GRAFT_VIRTUAL_STORED ", " GRAFT_VIRTUAL_EMBEDDED R"(,
    "fields": {)" GRAFT_VIRTUAL_FIELD R"(, "hidden": "encoder_hidden_size",
               "layers": "encoder_num_layers",
               "encoder": {"key": "encoder_reparameterization_type",
                           "values": {"mlp": ["MLP"], "lstm": ["LSTM"], "none": ["MLP"]}}},
    "constants": {"num_transformer_submodules": 1, "encoder_dropout": 0.0},
    "computed": ["prompt_embeddings"], "beside": {"encoder": "none"}
  })";

  struct State {
    Param embedding;
    Lstm lstm;
    std::vector<LinearParams> mlp;
  };

  explicit PTuning(Config c)
      : tokens(c.i64("/tokens")),
        hidden(c.i64("/hidden")),
        layers(c.i64("/layers")),
        encoder(c.str("/encoder")) {}

  State attach(const Site& t) const {
    t.virtual_tokens(tokens);
    const std::int64_t d = t.out_features(), h = hidden > 0 ? hidden : d;
    if (encoder == "none") return {t.param("prompt", {tokens, d}, Init::normal(1)), {}, {}};
    const Declare param = declare_at(t, GRAFT_PARAM_BESIDE);
    State s{param("embedding.weight", {tokens, d}, Init::normal(1)), {}, {}};
    std::vector<std::int64_t> widths = {d, h, h, d};
    if (encoder == "lstm") {
      s.lstm = Lstm(param, "lstm_head", layers, d, h);
      widths = {2 * h, 2 * h, d};
    }
    for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
      const Init init = torch_init(widths[i]);
      s.mlp.push_back(
          linear(param, "mlp_head." + std::to_string(2 * i), widths[i + 1], widths[i], init, init));
    }
    return s;
  }

  Value made(const State& s, const Hook& h) const {
    Value x = s.lstm(h, h(s.embedding), tokens);
    for (std::size_t i = 0; i < s.mlp.size(); ++i) x = s.mlp[i](h, i > 0 ? x.relu() : x);
    return x;
  }

  void forward(const State& s, const Hook& h) const { h.out(h.prepend(h.next(), made(s, h))); }
  Value stored(const State& s, const Hook& h, std::string_view) const { return made(s, h); }

  std::int64_t tokens, hidden, layers;
  std::string encoder;
};

}  // namespace

GRAFT_METHOD_PLUGIN(PTuning, "org.graft.p_tuning", "0.1.0", "graft", "Apache-2.0")
