// Bottleneck adapters: a small network behind attention or feed-forward blocks, with the switches of the
// adapters library.
//
//   z = up(act(down(norm h)))      down [b, hidden], up [hidden, b], b = hidden / reduction
//   serial     h the block's output, or with residual_first that and the residual stream x
//              y = s z + r         r the block's output, or h; what is added to x is y, or without
//                                  residual_last y - x
//   parallel   h = x, y = s z + the block's output
//
// With `invertible` the embeddings go through a coupling layer, from which the final states come back.
//
// Source: Houlsby et al. 2019 (arXiv:1902.00751), section 2; Pfeiffer et al. 2021, AdapterFusion
// (arXiv:2005.00247), section 3; He et al. 2022 (arXiv:2110.04366), table 1 (parallel, scaled);
// Pfeiffer et al. 2020, MAD-X (arXiv:2005.00052), section 4.2.3 (invertible); Poth et al. 2023
// (arXiv:2311.11077) for the switches.
#include <graft/plugin_bottleneck.hpp>
#include <graft/plugin_coupling.hpp>

namespace {
using namespace graft::plugin;

struct Adapter {
  static constexpr const char* name = "adapter";
  static constexpr std::uint32_t kinds =
      GRAFT_SITE_RESIDUAL | GRAFT_SITE_EMBEDDING | GRAFT_SITE_LINEAR;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {
      "attention": {"type": "boolean", "default": false, "description": "Adapters behind attention"},
      "feedforward": {"type": "boolean", "default": true,
        "description": "Adapters behind feed-forward blocks"},
      "leave_out": {"type": "array", "items": {"type": "integer", "minimum": 0}, "default": [],
        "description": "Layers without adapters"},
      "reduction": {"description": "Hidden size over width of the bottleneck, or {layer: that, default: ..}",
        "anyOf": [{"type": "number", "minimum": 1},
                  {"type": "object", "additionalProperties": {"type": "number", "minimum": 1}}],
        "default": 16},
      "activation": {"type": "string", "default": "relu", "description": "In the bottleneck",
        "enum": ["relu", "leakyrelu", "swish", "gelu", "gelu_new", "tanh", "sigmoid"]},
      "parallel": {"type": "boolean", "default": false,
        "description": "The adapter reads the residual stream beside the block, not its output"},
      "residual_first": {"type": "boolean", "default": true,
        "description": "The residual stream is added before the adapter"},
      "residual_last": {"type": "boolean", "default": true,
        "description": "The residual stream is added behind the adapter"},
      "own_residual": {"type": "string", "enum": ["output", "input"], "default": "output",
        "description": "What is added to the adapter's result: the block's output, or the adapter's input"},
      "norm_before": {"type": "boolean", "default": false, "description": "A layer norm of its own in front"},
      "norm_after": {"type": "boolean", "default": false, "description": "A layer norm of its own behind"},
      "residual_before_norm": {"type": "boolean", "default": false,
        "description": "own_residual is added before norm_after"},
      "scaling": {"description": "Factor on the result: a number, or learned, one or one per channel",
        "anyOf": [{"type": "number"}, {"type": "string", "enum": ["learned", "channel"]}], "default": 1},
      "dropout": {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0,
        "description": "On the result, in training"},
      "init": {"type": "string", "enum": ["normal", "zero"], "default": "normal",
        "description": "normal: weights with deviation 0.02. zero: up is 0, so that nothing changes at first"},
      "invertible": {"type": "boolean", "default": false,
        "description": "A coupling layer behind the embeddings"},
      "undo": {"type": "boolean", "default": true,
        "description": "It is undone before the head, as in models of the adapters library with heads of its own"},
      "invertible_reduction": {"type": "number", "minimum": 1, "default": 2,
        "description": "Half the hidden size over the width of its networks"}
    }, "x-graft-targets": ".*\\.residual|model\\.embed_tokens|lm_head"})";
  static constexpr const char* storage = R"({
    "layout": "adapters",
    "fields": {"attention": "mh_adapter", "feedforward": "output_adapter", "leave_out": "leave_out",
               "reduction": "reduction_factor", "parallel": "is_parallel",
               "residual_first": "original_ln_before", "residual_last": "original_ln_after",
               "own_residual": {"key": "residual_before_ln",
                                "values": {"output": [true], "input": [false]}},
               "norm_before": "ln_before", "norm_after": "ln_after",
               "residual_before_norm": "adapter_residual_before_ln",
               "scaling": {"key": "scaling", "float": true}, "dropout": "dropout",
               "activation": {"key": "non_linearity", "values": {
                 "relu": ["relu"], "leakyrelu": ["leakyrelu"], "swish": ["swish", "silu"],
                 "gelu": ["gelu"], "gelu_new": ["gelu_new", "gelu_pytorch_tanh"], "tanh": ["tanh"],
                 "sigmoid": ["sigmoid"]}},
               "init": {"key": "init_weights", "values": {"normal": ["bert", "houlsby"],
                                                          "zero": ["mam_adapter"]}},
               "invertible": {"key": "inv_adapter", "values": {"true": ["nice"], "false": [null]}},
               "invertible_reduction": "inv_adapter_reduction_factor"},
    "constants": {"use_gating": false, "phm_layer": false, "stochastic_depth": 0.0},
    "ignored": ["cross_adapter", "phm_dim", "factorized_phm_W", "shared_W_phm", "shared_phm_rule",
                "factorized_phm_rule", "phm_c_init", "phm_init_range", "learn_phm", "phm_rank",
                "phm_bias", "hypercomplex_nonlinearity", "init_weights_seed"],
    "places": {"attention": ".self_attn.residual", "feedforward": ".mlp.residual"},
    "copies": [[".adapter_norm_before.", ".adapter_down.0."]],
    "flexible": "undo"})";

  struct State {
    Bottleneck::State net = {};
    Coupling coupling = {};
  };

  explicit Adapter(Config c)
      : net(c),
        invertible(c.flag("/invertible")),
        undo(c.flag("/undo")),
        reduction(c.f64("/invertible_reduction")) {
    if (net.attention || net.feedforward) return;
    refuse("attention and feedforward are both false, so there is no place for an adapter. Set ",
           "one of them.");
  }

  void plan(const std::vector<Site>& sites) {
    bool head = false;
    for (const Site& site : sites) {
      if (site.kind() == GRAFT_SITE_EMBEDDING) {
        embedding = site.name();
        hidden = site.out_features();
      }
      head = head || std::string(site.name()) == "lm_head";
    }
    if (!invertible || (head && !embedding.empty() && hidden % 2 == 0)) return;
    refuse(hidden % 2 != 0 ? "invertible halves the hidden size, which is odd here"
                           : "invertible needs the embedding and lm_head among the targets");
  }

  std::optional<State> attach(const Site& t) const {
    if (t.kind() == GRAFT_SITE_RESIDUAL) {
      return net.wants(t) ? std::optional(State{net.attach(t, declare_at(t)), {}}) : std::nullopt;
    }
    const bool behind = t.kind() == GRAFT_SITE_EMBEDDING;
    const bool here = behind || (undo && std::string(t.name()) == "lm_head");
    if (!invertible || !here) return std::nullopt;
    const std::string at = embedding.substr(0, embedding.rfind('.')) + ".invertible";
    return State{{},
                 Coupling::declare(declare_at(t, GRAFT_PARAM_SHARED), at, hidden,
                                   bottleneck_width(hidden / 2, reduction))};
  }

  void forward(const State& s, const Hook& h) const {
    const auto act = [&](Value x) { return net.act(x); };
    if (h.kind() == GRAFT_SITE_EMBEDDING) return h.out(s.coupling.apply(h, act, h.next()));
    if (h.kind() == GRAFT_SITE_LINEAR) return h.out(h.next(s.coupling.undo(h, act, h.in())));
    const Value x = h.in(0), block = h.next(x, h.in(1)), in = net.input(x, block);
    const Value z = net(s.net, h, in).dropout(net.dropout);
    const Value own = net.parallel || net.own_is_output ? block : in;
    const bool early = net.early && !net.parallel;
    Value y = early ? s.net.after(h, z + own) : s.net.after(h, z) + own;
    if (!net.residual_last) y = y - x;
    h.out(block + (y - block) * h.strength());
  }

  Bottleneck net;
  bool invertible, undo;
  double reduction;
  std::string embedding;
  std::int64_t hidden = 0;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Adapter, "org.graft.adapter", "0.1.0", "graft", "Apache-2.0")
