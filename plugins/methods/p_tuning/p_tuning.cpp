// P-tuning: virtual tokens before each sequence, made by a small network from trained embeddings.
//
//   mlp    E -> linear, relu, linear, relu, linear
//   lstm   E -> LSTM in both directions -> linear, relu, linear
//   none   E itself: what is left when a file holds the made tokens only
//
// Source: Liu et al. 2021, "GPT Understands, Too" (arXiv:2103.10385), eq. (2). The networks and the
// names of their tensors are PEFT's.
#include <cmath>
#include <graft/plugin.hpp>

namespace {
using namespace graft::plugin;

struct PTuning {
  static constexpr const char* name = "p_tuning";
  static constexpr std::uint32_t kinds = GRAFT_SITE_EMBEDDING;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "x-graft-targets": ".*", "properties": {
      "tokens": {"type": "integer", "minimum": 1, "default": 20,
        "description": "how many virtual tokens"},
      "encoder": {"type": "string", "enum": ["mlp", "lstm", "none"], "default": "mlp"},
      "hidden": {"type": ["integer", "null"], "default": null,
        "description": "width of the network; without it that of the model"},
      "layers": {"type": "integer", "minimum": 1, "default": 2, "description": "of the LSTM"}
    }})";
  static constexpr const char* storage = R"({
    "peft_type": "P_TUNING", "host": ["modules_to_save"],
    "fields": {"tokens": "num_virtual_tokens", "hidden": "encoder_hidden_size",
               "layers": "encoder_num_layers",
               "encoder": {"key": "encoder_reparameterization_type",
                           "values": {"mlp": ["MLP"], "lstm": ["LSTM"], "none": ["MLP"]}}},
    "constants": {"num_transformer_submodules": 1, "encoder_dropout": 0.0},
    "model": {"token_dim": "hidden", "num_attention_heads": "heads", "num_layers": "layers"},
    "tensors": {"prompt": "prompt_embeddings"},
    "computed": ["prompt_embeddings"], "beside": {"encoder": "none"}
  })";

  struct Linear {
    Param weight, bias;
    Value operator()(const Hook& h, Value x) const { return x.mmT(h(weight)) + h(bias); }
  };
  struct Lstm {
    Linear in, state;
  };
  struct State {
    Param embedding;
    std::vector<Linear> mlp;
    std::vector<Lstm> lstm;  // forwards and backwards, layer by layer
  };

  explicit PTuning(Config c)
      : tokens(c.i64("/tokens")),
        hidden(c.i64("/hidden")),
        layers(c.i64("/layers")),
        encoder(c.str("/encoder")) {}

  static Linear linear(const Site& t, const std::string& weight, const std::string& bias,
                       std::int64_t out, std::int64_t in, std::int64_t bound_of) {
    const Init init = Init::uniform(1 / std::sqrt(static_cast<double>(bound_of)));
    return {t.param(weight.c_str(), {out, in}, init, GRAFT_PARAM_BESIDE),
            t.param(bias.c_str(), {out}, init, GRAFT_PARAM_BESIDE)};
  }

  State attach(const Site& t) const {
    t.virtual_tokens(tokens);
    const std::int64_t d = t.out_features(), h = hidden > 0 ? hidden : d;
    if (encoder == "none") return {t.param("prompt", {tokens, d}, Init::normal(1)), {}, {}};
    State s{t.param("embedding.weight", {tokens, d}, Init::normal(1), GRAFT_PARAM_BESIDE), {}, {}};
    const bool lstm = encoder == "lstm";
    for (std::int64_t l = 0; lstm && l < layers; ++l) {
      for (const char* way : {"", "_reverse"}) {
        const std::string end = "_l" + std::to_string(l) + way, head = "lstm_head.";
        s.lstm.push_back(
            {linear(t, head + "weight_ih" + end, head + "bias_ih" + end, 4 * h, l == 0 ? d : 2 * h,
                    h),
             linear(t, head + "weight_hh" + end, head + "bias_hh" + end, 4 * h, h, h)});
      }
    }
    std::vector<std::int64_t> widths = {d, h, h, d};
    if (lstm) widths = {2 * h, 2 * h, d};
    for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
      const std::string key = "mlp_head." + std::to_string(2 * i);
      s.mlp.push_back(
          linear(t, key + ".weight", key + ".bias", widths[i + 1], widths[i], widths[i]));
    }
    return s;
  }

  /// One direction of one layer over the rows of x: gates i, f, g, o.
  Value run(const Lstm& cell, const Hook& h, Value x, bool backwards) const {
    const Value from_x = cell.in(h, x) + h(cell.state.bias);
    const std::int64_t w = from_x.dim(1) / 4;
    Value state, memory, all;
    for (std::int64_t k = 0; k < tokens; ++k) {
      const std::int64_t row = backwards ? tokens - 1 - k : k;
      Value z = from_x.slice(0, row, row + 1);
      if (state) z = z + state.mmT(h(cell.state.weight));
      const auto gate = [&](std::int64_t i) { return z.slice(1, i * w, (i + 1) * w); };
      const Value fresh = gate(0).sigmoid() * gate(2).tanh();
      memory = memory ? gate(1).sigmoid() * memory + fresh : fresh;
      state = gate(3).sigmoid() * memory.tanh();
      all = !all ? state : backwards ? concat({state, all}, 0) : concat({all, state}, 0);
    }
    return all;
  }

  Value made(const State& s, const Hook& h) const {
    Value x = h(s.embedding);
    for (std::size_t l = 0; l + 1 < s.lstm.size(); l += 2) {
      x = concat({run(s.lstm[l], h, x, false), run(s.lstm[l + 1], h, x, true)}, 1);
    }
    for (std::size_t i = 0; i < s.mlp.size(); ++i) {
      x = s.mlp[i](h, i > 0 ? x.relu() : x);
    }
    return x;
  }

  void forward(const State& s, const Hook& h) const { h.out(h.prepend(h.next(), made(s, h))); }
  Value stored(const State& s, const Hook& h, std::string_view) const { return made(s, h); }

  std::int64_t tokens, hidden, layers;
  std::string encoder;
};

}  // namespace

GRAFT_METHOD_PLUGIN(PTuning, "org.graft.p_tuning", "0.1.0", "graft", "Apache-2.0")
