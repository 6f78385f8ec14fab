// AdapterFusion: several trained bottleneck adapters, mixed for each token by attention over what they
// compute. They stay as they are; what is trained is the attention.
//
//   u_i = z_i of adapter i (before its residual and dropout)       q = Q query, k_i = K u_i, v_i = V u_i
//   p = softmax_i(q . k_i)       y = sum_i p_i v_i + r
//   loss += 0.01 |1 - V|^2       at each place
//
// The query is what the adapters read; their inputs, r and what y is added to are the last one's.
//
// Source: Pfeiffer et al. 2021, "AdapterFusion: Non-Destructive Task Composition for Transfer Learning"
// (arXiv:2005.00247), section 3.2 and appendix A; the switches are the adapters library's.
#include <graft/plugin_bottleneck.hpp>

namespace {
using namespace graft::plugin;

struct AdapterFusion {
  static constexpr const char* name = "adapter_fusion";
  static constexpr std::uint32_t kinds = GRAFT_SITE_RESIDUAL;
  static constexpr const char* schema = R"({
    "type": "object", "additionalProperties": false, "properties": {
      "adapters": {"type": "array", "items": {"type": "string"}, "default": [],
        "x-graft-adapters": "adapter", "description": "Folders of the trained adapters to fuse"},
      "query": {"type": "boolean", "default": true, "description": "The query is projected"},
      "key": {"type": "boolean", "default": true, "description": "Keys are projected"},
      "value": {"type": "boolean", "default": true, "description": "Values are projected"},
      "query_before": {"type": "boolean", "default": false,
        "description": "The query is the block's output, also where adapters read another sum"},
      "residual_before": {"type": "boolean", "default": false,
        "description": "r is added to each u_i, not to their mixture"},
      "value_before_softmax": {"type": "boolean", "default": true,
        "description": "V is applied to each u_i, not to their mixture"},
      "value_init": {"type": "string", "enum": ["identity", "normal"], "default": "identity",
        "description": "V at first: 1 on the diagonal and 1e-6 elsewhere, or with deviation 0.02"},
      "regularization": {"type": "boolean", "default": true,
        "description": "The loss keeps V near the identity"},
      "dropout": {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0,
        "description": "On q . k, in training"}
    }, "x-graft-targets": ".*\\.residual"})";
  static constexpr const char* storage = R"({
    "layout": "fusion",
    "fields": {"query": "query", "key": "key", "value": "value", "query_before": "query_before_ln",
               "residual_before": "residual_before", "value_before_softmax": "value_before_softmax",
               "value_init": {"key": "value_initialized",
                              "values": {"identity": [true, "true"], "normal": [false, "false"]}},
               "regularization": "regularization", "dropout": "dropout_prob"},
    "constants": {"temperature": false}})";

  struct State {
    std::vector<Bottleneck::State> nets;
    LinearParams query = {}, key = {};
    Param value = {}, one = {};
  };

  explicit AdapterFusion(Config config) : c(config) {
    for (std::uint32_t i = 0; i < c.count("/adapters"); ++i) {
      const std::string at = "/adapters/" + std::to_string(i);
      names.emplace_back(c.str((at + "/name").c_str()));
      paths.emplace_back(c.str((at + "/path").c_str()));
      fused.emplace_back(c, at + "/options");
      if (!c.flag((at + "/options/invertible").c_str())) continue;
      refuse("'", paths.back(), "' is invertible, which is not fused.");
    }
    if (fused.size() < 2) {
      refuse("adapters needs the folders of at least two trained adapters to fuse.");
    }
    if (query || key || value) return;
    refuse("query, key and value are all false, so nothing would be trained.");
  }

  /// At one place all have an adapter or none, and of one width.
  void check(const Site& t, std::size_t i) const {
    const Bottleneck &first = fused[0], &other = fused[i];
    if (other.wants(t) != first.wants(t)) {
      refuse("only one of '", paths[0], "' and '", paths[i], "' has an adapter at '", t.name(),
             "'; all that are fused must have theirs at the same places.");
    }
    if (!other.wants(t) || other.width(t) == first.width(t)) return;
    refuse("the adapters have different widths: '", paths[0], "' has ", first.width(t), " at '",
           t.name(), "', '", paths[i], "' ", other.width(t), ". Fuse adapters of one reduction.");
  }

  std::optional<State> attach(const Site& t) const {
    State s;
    const std::int64_t n = t.out_features();
    const std::uint32_t own = GRAFT_PARAM_FROZEN | GRAFT_PARAM_NOSAVE;
    for (std::size_t i = 0; i < fused.size(); ++i) {
      check(t, i);
      if (!fused[i].wants(t)) continue;
      s.nets.push_back(fused[i].attach(t, [&](const auto& of, auto dims, Init) {
        const Init init = Init::adapter(paths[i].c_str(), of.c_str());
        return t.param((names[i] + "." + of).c_str(), dims, init, own);
      }));
    }
    if (s.nets.empty()) return std::nullopt;
    if (query) s.query = linear(declare_at(t), "query", n, n, Init::normal(0.02));
    if (key) s.key = linear(declare_at(t), "key", n, n, Init::normal(0.02));
    if (!value) return s;
    const Init begin = identity ? Init::eye(1e-6) : Init::normal(0.02);
    s.value = t.param("value.weight", {n, n}, begin, GRAFT_PARAM_WIDE);
    s.one = t.param("one", {n, n}, Init::eye(), own | GRAFT_PARAM_WIDE | GRAFT_PARAM_SHARED);
    return s;
  }

  void forward(const State& s, const Hook& h) const {
    const Bottleneck& last = fused.back();
    const Value x = h.in(0), block = h.next(x, h.in(1)), in = last.input(x, block);
    const Value own = last.parallel ? x : last.own_is_output ? block : in;
    const Value asked = query_before && !last.parallel ? block : in;
    const Value q = query ? s.query(h, asked) : asked;
    const Value v = value ? h(s.value).cast(x.dtype()) : Value();
    std::vector<Value> u, scores;
    for (std::size_t i = 0; i < fused.size(); ++i) {
      Value up = fused[i](s.nets[i], h, in);
      if (residual_before) up = up + own;
      scores.push_back((q * (key ? s.key(h, up) : up)).sum(-1, true));
      u.push_back(value && value_first ? up.mmT(v) : up);
    }
    const Value p = concat(scores, 1).dropout(dropout).softmax();
    Value y;
    for (std::size_t i = 0; i < u.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      const Value part = u[i] * p.slice(1, at, at + 1);
      y = y ? y + part : part;
    }
    if (value && !value_first) y = y.mmT(v);
    if (!residual_before) y = y + own;
    if (last.parallel) y = y + block;
    if (!last.residual_last) y = y - x;
    h.out(block + (y - block) * h.strength());
  }

  Value loss(const State& s, const Hook& h) const {
    if (!value || !regularized) return {};
    const Value d = h(s.value) - h(s.one);
    return (d * d).sum(-1).sum(0, true) * 0.01;
  }

  Config c;
  bool query = c.flag("/query"), key = c.flag("/key"), value = c.flag("/value");
  bool query_before = c.flag("/query_before"), residual_before = c.flag("/residual_before");
  bool value_first = c.flag("/value_before_softmax"), regularized = c.flag("/regularization");
  bool identity = c.str("/value_init") == "identity";
  double dropout = c.f64("/dropout");
  std::vector<std::string> names, paths;
  std::vector<Bottleneck> fused;
};

}  // namespace

GRAFT_METHOD_PLUGIN(AdapterFusion, "org.graft.adapter_fusion", "0.1.0", "graft", "Apache-2.0")
