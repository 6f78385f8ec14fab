// LoRA: a frozen linear layer or embedding plus a trainable product of two thin matrices.
//
//   linear      y = W x + b  + s B A dropout(x)      A [r, in], B [out, r]
//   embedding   y = W[ids]   + s (A^T)[ids] B^T      A [r, vocabulary], B [hidden, r]
//
// s = alpha / r, or alpha / sqrt(r) (rsLoRA), times the adapter's strength at run time.
//
// Source: Hu et al. 2021, "LoRA" (arXiv:2106.09685), section 4.1; Kalajdzievski 2023, "A Rank
// Stabilization Scaling Factor for Fine-Tuning with LoRA" (arXiv:2312.03732). Names of tensors and
// initial values are PEFT's.
//
// Where A and B begin as factors of W (PiSSA, OLoRA: graft/plugin_pair.hpp) W is less s B0 A0, recorded as
// a second pair. EVA: graft/plugin_eva.hpp. LoRA+: Hayou et al. 2024, arXiv:2402.12354, section 4;
// LoRA-FA: Zhang et al. 2023, arXiv:2308.03303.
#include <graft/plugin_eva.hpp>
#include <graft/plugin_pair.hpp>
#include <graft/plugin_tokens.hpp>

namespace {
using namespace graft::plugin;

struct Lora {
  static constexpr const char* name = "lora";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR | GRAFT_SITE_EMBEDDING;
  static constexpr const char* schema =
      R"({)" GRAFT_LORA_TARGETS
      R"(, "type": "object", "additionalProperties": false, "properties": {)" GRAFT_LORA_OPTIONS
      R"(, "init": {"type": "string", "enum": ["kaiming", "gaussian", "pissa", "olora", "loftq", "eva"],
        "default": "kaiming", "description": "A of linear layers: uniform, or normal / rank; or A and B from W: its largest singular vectors, Q and R, or what quantizing takes from it; or A from the data"},
      )" GRAFT_EVA_OPTION R"(,
      "lr_ratio": {"type": "number", "exclusiveMinimum": 0, "default": 1,
        "description": "LoRA+: learning rate of B over that of A"},
      "freeze_a": {"type": "boolean", "default": false, "description": "LoRA-FA: train B alone"},
      "convert": {"type": "boolean", "default": false,
        "description": "After init pissa or olora: save a plain LoRA of twice the rank"},
      )" GRAFT_TOKENS_OPTION R"(,
      )" GRAFT_BIAS_OPTION "}}";
  static constexpr const char* storage = R"({"peft_type": "LORA", "fields": {)" GRAFT_LORA_FIELDS
                                         R"(, "init": {"key": "init_lora_weights",
                    "values": {"kaiming": [true, false, "orthogonal", "loftq"],
                               "gaussian": ["gaussian"], "pissa": ["pissa"],
                               "olora": ["olora"], "loftq": [true], "eva": ["eva"]}},
      "eva_config": "eva_config",
      "bias": "bias", "trainable_tokens": {"key": "trainable_token_indices", "null": true}},
      "constants": {"fan_in_fan_out": false, "use_dora": false, "lora_bias": false,
                    "use_qalora": false, "layer_replication": null},
      "ignored": [)" GRAFT_LORA_IGNORED "]}";

  struct State {
    Pair pair;
    std::optional<Tokens> tokens = {};  // in the place of the pair
  };

  Lora(Host host, Config config) : c(config) {
    if (convert && !how.from_weight()) {
      refuse("convert is true, but init \"", how.init, "\" leaves the base as it is, so there is ",
             "nothing to convert. It goes with init \"pissa\" or \"olora\".");
    }
    if (how.init != "eva" && c.count("/eva_config") > 0) {
      host.log(GRAFT_LOG_WARNING, "lora",
               "eva_config means nothing with init \"" + how.init + "\".");
    }
    if (alpha == 0) host.log(GRAFT_LOG_WARNING, "lora", "alpha is 0: the adapter has no effect.");
  }

  void plan(const std::vector<Site>& sites) {
    for (const Site& site : sites) {
      if (site.kind() == GRAFT_SITE_EMBEDDING) embedding = site.name();
    }
  }

  void observe(graft_input_pass& pass, const std::vector<Site>& sites) {
    if (how.init == "eva") eva.observe(pass, sites);
  }

  std::optional<State> attach(const Site& t) const {
    if (const auto ids = t.config().integers("/trainable_tokens"); !ids.empty()) {
      return State{{}, attach_tokens(t, {ids.begin(), ids.end()}, embedding)};
    }
    const std::int64_t own = t.config().i64("/rank");
    const Eva::Found* found = eva.at(t.name());
    if (found && found->rank == 0) return std::nullopt;
    PairInit its = how;
    if (found) its.a = found->a.data();
    const double its_alpha = t.config().f64("/alpha") * eva.growth(t.name(), own);
    return State{Pair::attach(t, its, found ? found->rank : own, its_alpha, rslora)};
  }

  void forward(const State& s, const Hook& h) const {
    if (s.tokens) return h.out(h.next() + token_update(*s.tokens, h));
    const Pair& p = s.pair;
    const Value u = p.thin(h, dropout), scale = h.strength() * p.scale;
    Value y = h.next() + (u * scale).mmT(h(p.b));  // scaled where it is thin
    if (p.a0.tensor) y = y - (h.in().mmT(h(p.a0)) * scale).mmT(h(p.b0));
    h.out(y);
  }

  Merged merge(const State& s, const Hook& h) const {
    if (s.tokens) return h.plus(token_change(*s.tokens, h));
    return h.plus(s.pair.matrix(h) * (h.strength() * s.pair.scale));
  }

  void save(const std::vector<const State*>& states, const Values& now,
            const AdapterFile& file) const {
    std::vector<const Pair*> pairs;
    std::string targets;
    for (const State* s : states) {
      if (s->tokens) continue;
      pairs.push_back(&s->pair);
      targets += (targets.empty() ? "\"" : ", \"") + s->pair.site + "\"";
    }
    if (eva.any()) {  // the ranks that data has given, and the layers that are left with one
      file.option("/targets", "[" + targets + "]");
      save_patterns(pairs, rank, alpha, 1, 1, file);
    }
    if (!convert) return;
    const double more = rslora ? std::sqrt(2.0) : 2;  // s stays
    file.option("/init", "\"kaiming\"");
    file.option("/convert", "false");
    file.option("/rank", std::to_string(2 * rank));
    file.option("/alpha", option_number(alpha * more));
    save_patterns(pairs, rank, alpha, 2, more, file);
    for (const Pair* p : pairs) p->save_doubled(now, file);
  }

  Config c;
  PairInit how{std::string(c.str("/init")), nullptr,
               c.flag("/freeze_a") ? std::uint32_t{GRAFT_PARAM_FROZEN} : 0, c.f64("/lr_ratio")};
  double dropout = c.f64("/dropout"), alpha = c.f64("/alpha");
  bool convert = c.flag("/convert"), rslora = c.flag("/rslora");
  std::int64_t rank = c.i64("/rank");
  std::string embedding;
  Eva eva{c};
};

}  // namespace

GRAFT_METHOD_PLUGIN(Lora, "org.graft.lora", "0.1.0", "graft", "Apache-2.0")
