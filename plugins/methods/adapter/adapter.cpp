// Bottleneck adapters: a small network behind attention or feed-forward blocks, with the switches of the
// adapters library.
//
//   z = up(act(down(norm h)))      down [b, hidden], up [hidden, b], b = hidden / reduction
//   serial     h the block's output, or with residual_first that and the residual stream x
//              y = s z + r         r the block's output, or h; what is added to x is y, or without
//                                  residual_last y - x
//   parallel   h = x, y = s z + the block's output
//
// With `invertible` the embeddings go through a coupling layer, from which the final states come back:
//   y1 = x1 + F(x2), y2 = x2 + G(y1)       x2 = y2 - G(y1), x1 = y1 - F(x2)
//
// Source: Houlsby et al. 2019 (arXiv:1902.00751), section 2; Pfeiffer et al. 2021, AdapterFusion
// (arXiv:2005.00247), section 3; He et al. 2022 (arXiv:2110.04366), table 1 (parallel, scaled);
// Pfeiffer et al. 2020, MAD-X (arXiv:2005.00052), section 4.2.3 (invertible); Poth et al. 2023
// (arXiv:2311.11077) for the switches.
#include <algorithm>
#include <cmath>
#include <graft/plugin.hpp>

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
      "reduction": {"type": "number", "minimum": 1, "default": 16,
        "description": "Hidden size over width of the bottleneck"},
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
        "description": "It is undone before the head, as in the adapters library where the head is tied"},
      "invertible_reduction": {"type": "number", "minimum": 1, "default": 2,
        "description": "Half the hidden size over the width of its networks"}
    }, "x-graft-targets": ".*\\.residual|model\\.embed_tokens|lm_head"})";

  struct Linear {
    Param weight, bias;
  };
  struct Norm {
    Param weight, bias;
  };
  struct Net {
    Linear first, second;
  };
  struct State {
    Linear down = {}, up = {};
    std::optional<Norm> before = {}, after = {};
    Param scaling = {};
    Net f = {}, g = {};
  };

  explicit Adapter(Config c)
      : attention(c.flag("/attention")),
        feedforward(c.flag("/feedforward")),
        parallel(c.flag("/parallel")),
        residual_first(c.flag("/residual_first")),
        residual_last(c.flag("/residual_last")),
        from_output(c.str("/own_residual") == "output"),
        norm_before(c.flag("/norm_before")),
        norm_after(c.flag("/norm_after")),
        early(c.flag("/residual_before_norm")),
        zero(c.str("/init") == "zero"),
        invertible(c.flag("/invertible")),
        undo(c.flag("/undo")),
        activation(c.str("/activation")),
        learned(c.str("/scaling")),
        reduction(c.f64("/reduction")),
        invertible_reduction(c.f64("/invertible_reduction")),
        scaling(c.f64("/scaling")),
        dropout(c.f64("/dropout")) {
    if (attention || feedforward) return;
    throw Error(
        GRAFT_E_INVALID,
        "attention and feedforward are both false, so there is no place for an adapter. Set "
        "one of them.");
  }

  static std::int64_t over(std::int64_t width, double factor) {
    return std::max<std::int64_t>(1,
                                  static_cast<std::int64_t>(static_cast<double>(width) / factor));
  }
  static Linear linear(const Site& t, const std::string& of, std::int64_t out, std::int64_t in,
                       Init init) {
    return {t.param((of + ".weight").c_str(), {out, in}, init),
            t.param((of + ".bias").c_str(), {out}, Init::zeros())};
  }
  static Norm norm(const Site& t, const std::string& of, std::int64_t width) {
    return {t.param((of + ".weight").c_str(), {width}, Init::ones()),
            t.param((of + ".bias").c_str(), {width}, Init::zeros())};
  }

  State attach_invertible(const Site& t) const {
    const std::int64_t half = hidden / 2, width = over(half, invertible_reduction);
    const auto net = [&](const std::string& of) {
      const std::uint32_t as = GRAFT_PARAM_SHARED;  // one behind the embeddings and before the head
      const auto layer = [&](const std::string& at, std::int64_t out, std::int64_t in) {
        const std::string full = "model." + embedding + ".invertible." + of + at;
        return Linear{t.param((full + ".weight").c_str(), {out, in}, Init::normal(0.02), as),
                      t.param((full + ".bias").c_str(), {out}, Init::zeros(), as)};
      };
      return Net{layer(".0", width, half), layer(".2", half, width)};
    };
    State s;
    s.f = net("F");
    s.g = net("G");
    return s;
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
    throw Error(GRAFT_E_INVALID,
                hidden % 2 != 0 ? "invertible halves the hidden size, which is odd here"
                                : "invertible needs the embedding and lm_head among the targets");
  }

  std::optional<State> attach(const Site& t) const {
    const std::string site = t.name();
    if (t.kind() != GRAFT_SITE_RESIDUAL) {
      const bool end = t.kind() == GRAFT_SITE_EMBEDDING || site == "lm_head";
      if (!undo && t.kind() != GRAFT_SITE_EMBEDDING) return std::nullopt;
      return invertible && end ? std::optional(attach_invertible(t)) : std::nullopt;
    }
    const bool mlp = site.find(".mlp.") != std::string::npos;
    if (!(mlp ? feedforward : attention)) return std::nullopt;
    const std::int64_t n = t.out_features(), width = over(n, reduction);
    State s;
    s.down =
        linear(t, "adapter_down", width, n, zero ? Init::kaiming_uniform() : Init::normal(0.02));
    s.up = linear(t, "adapter_up", n, width, zero ? Init::zeros() : Init::normal(0.02));
    if (norm_before) s.before = norm(t, "adapter_norm_before", n);
    if (norm_after) s.after = norm(t, "adapter_norm_after", n);
    if (!learned.empty())
      s.scaling = t.param("scaling", {learned == "learned" ? 1 : n}, Init::ones());
    return s;
  }

  Value act(Value x) const {
    if (activation == "relu") return x.relu();
    if (activation == "leakyrelu") return x.relu() * 0.99 + x * 0.01;
    if (activation == "swish") return x.silu();
    if (activation == "gelu") return x.gelu();
    if (activation == "gelu_new") return x.act(GRAFT_ACT_GELU_TANH);
    return activation == "tanh" ? x.tanh() : x.sigmoid();
  }
  static Value apply(const Hook& h, const Linear& l, Value x) {
    return x.mmT(h(l.weight)) + h(l.bias);
  }
  static Value apply(const Hook& h, const std::optional<Norm>& n, Value x) {
    return n ? x.layer_norm(h(n->weight), h(n->bias), 1e-5) : x;
  }
  Value apply(const Hook& h, const Net& n, Value x) const {
    return apply(h, n.second, act(apply(h, n.first, x)));
  }

  void forward_invertible(const State& s, const Hook& h) const {
    const std::int64_t half = hidden / 2;
    const auto halves = [&](Value x) {
      return std::pair{x.slice(1, 0, half), x.slice(1, half, hidden)};
    };
    if (h.kind() == GRAFT_SITE_EMBEDDING) {
      const auto [x1, x2] = halves(h.next());
      const Value y1 = x1 + apply(h, s.f, x2) * h.strength();
      return h.out(concat({y1, x2 + apply(h, s.g, y1) * h.strength()}, 1));
    }
    const auto [y1, y2] = halves(h.in());
    const Value x2 = y2 - apply(h, s.g, y1) * h.strength();
    h.out(h.next(concat({y1 - apply(h, s.f, x2) * h.strength(), x2}, 1)));
  }

  void forward(const State& s, const Hook& h) const {
    if (h.kind() != GRAFT_SITE_RESIDUAL) return forward_invertible(s, h);
    const Value x = h.in(0), block = h.next(x, h.in(1));
    const Value in = parallel ? x : residual_first ? block + x : block;
    Value z = apply(h, s.up, act(apply(h, s.down, apply(h, s.before, in))));
    z = (learned.empty() ? z * scaling : z * h(s.scaling)).dropout(dropout);
    const Value own = parallel || from_output ? block : in;
    Value y = early && !parallel ? apply(h, s.after, z + own) : apply(h, s.after, z) + own;
    if (!parallel && !residual_last) y = y - x;
    h.out(block + (y - block) * h.strength());
  }

  bool attention, feedforward, parallel, residual_first, residual_last, from_output, norm_before,
      norm_after, early, zero, invertible, undo;
  std::string activation, learned;
  double reduction, invertible_reduction, scaling, dropout;
  std::string embedding;
  std::int64_t hidden = 0;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Adapter, "org.graft.adapter", "0.1.0", "graft", "Apache-2.0")
