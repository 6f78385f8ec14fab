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
// Where A and B begin as factors of W (PiSSA: Meng et al. 2024, arXiv:2404.02948, eq. (3); OLoRA:
// Buyukakyuz 2024, arXiv:2406.01775, algorithm 1) W is less s B0 A0, recorded as a second pair. LoftQ: Li
// et al. 2023, arXiv:2310.08659, one round: s B A begins as what W has lost by quantizing. LoRA+:
// Hayou et al. 2024, arXiv:2402.12354, section 4; LoRA-FA: Zhang et al. 2023, arXiv:2308.03303. EVA: eva.hpp.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <graft/plugin_lowrank.hpp>
#include <iterator>
#include <optional>

#include "eva.hpp"
#include "tokens.hpp"

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
      "trainable_tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}, "default": [],
        "x-graft-vocabulary": true,
        "description": "Tokens whose rows of the embedding are trained, also in a head tied to it"},
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
    Param a, b, a0, b0;  // a0, b0: where a and b began, if that is not without effect
    double scale;
    std::int64_t rank = 0, in = 0, out = 0;
    double alpha = 0;
    std::string site = {};
    std::optional<Tokens> tokens = {};  // in the place of all else
  };

  Lora(Host host, Config c)
      : dropout(c.f64("/dropout")),
        ratio(c.f64("/lr_ratio")),
        frozen(c.flag("/freeze_a") ? std::uint32_t{GRAFT_PARAM_FROZEN} : 0),
        init(c.str("/init")),
        convert(c.flag("/convert")),
        rank(c.i64("/rank")),
        alpha(c.f64("/alpha")),
        rslora(c.flag("/rslora")),
        eva(c) {
    for (std::uint32_t i = 0; i < c.count("/trainable_tokens"); ++i) {
      tokens.push_back(
          static_cast<std::int32_t>(c.i64(("/trainable_tokens/" + std::to_string(i)).c_str())));
    }
    if (convert && !from_weight()) {
      throw Error(GRAFT_E_INVALID,
                  "convert is true, but init \"" + init +
                      "\" leaves the base as it is, so there is nothing to convert. "
                      "It goes with init \"pissa\" or \"olora\".");
    }
    if (init != "eva" && c.count("/eva_config") > 0) {
      host.log(GRAFT_LOG_WARNING, "lora", "eva_config means nothing with init \"" + init + "\".");
    }
    if (alpha == 0) host.log(GRAFT_LOG_WARNING, "lora", "alpha is 0: the adapter has no effect.");
  }

  bool from_weight() const { return init == "pissa" || init == "olora"; }

  void plan(const std::vector<Site>& sites) {
    for (const Site& site : sites) {
      if (site.kind() == GRAFT_SITE_EMBEDDING) embedding = site.name();
    }
  }

  void observe(graft_input_pass& pass, const std::vector<Site>& sites) {
    if (init == "eva") eva.observe(pass, sites);
  }

  std::optional<State> attach(const Site& site) const {
    if (site.config().count("/trainable_tokens") > 0) {
      return State{{}, {}, {}, {}, 0, 0, 0, 0, 0, "", attach_tokens(site, tokens, embedding)};
    }
    const Eva::Found* found = eva.at(site.name());
    if (found && found->rank == 0) return std::nullopt;
    const std::int64_t own = site.config().i64("/rank"), r = found ? found->rank : own;
    const std::int64_t in = site.in_features(), out = site.out_features();
    const double moved =
        found && eva.adjusts() && r != own ? static_cast<double>(r) / static_cast<double>(own) : 1;
    const double its = site.config().f64("/alpha") * moved, scale = lora_scale(its, r, rslora);
    if (site.kind() == GRAFT_SITE_EMBEDDING) {
      if (from_weight() || init == "loftq") {
        throw Error(GRAFT_E_INVALID, "init \"" + init + "\" is for linear layers; '" + site.name() +
                                         "' is an embedding. Leave it out.");
      }
      return State{site.param("lora_embedding_A", {r, in}, Init::zeros(), frozen),
                   site.param("lora_embedding_B", {out, r}, Init::normal(1), 0, ratio),
                   {},
                   {},
                   scale,
                   r,
                   in,
                   out,
                   its,
                   site.name()};
    }
    Init a =
        init == "gaussian" ? Init::normal(1.0 / static_cast<double>(r)) : Init::kaiming_uniform();
    if (found) a = Init::these(found->a.data());
    Init b = Init::zeros();
    State s{{}, {}, {}, {}, scale, r, in, out, its, site.name()};
    if (from_weight()) {
      a = init == "pissa" ? Init::svd_right("weight", scale) : Init::qr_right("weight");
      b = init == "pissa" ? Init::svd_left("weight", scale) : Init::qr_left("weight");
      s.a0 = site.param("first_A", {r, in}, a, GRAFT_PARAM_FROZEN | GRAFT_PARAM_NOSAVE);
      s.b0 = site.param("first_B", {out, r}, b, GRAFT_PARAM_FROZEN | GRAFT_PARAM_NOSAVE);
    }
    if (init == "loftq") {
      a = Init::svd_right("weight.lost", scale);
      b = Init::svd_left("weight.lost", scale);
    }
    s.a = site.param("lora_A.weight", {r, in}, a, frozen);
    s.b = site.param("lora_B.weight", {out, r}, b, 0, ratio);
    return s;
  }

  void forward(const State& s, const Hook& h) const {
    if (s.tokens) return h.out(h.next() + token_update(*s.tokens, h));
    const Value x = h.in(), a = h(s.a), b = h(s.b);
    // PEFT has no dropout on embeddings: there is no input to drop from.
    const Value u =
        h.kind() == GRAFT_SITE_EMBEDDING ? x.gather_from(a.t()) : x.dropout(dropout).mmT(a);
    const Value scale = h.strength() * s.scale;
    Value y = h.next() + (u * scale).mmT(b);  // scaled where it is thin
    if (s.a0.tensor) y = y - (x.mmT(h(s.a0)) * scale).mmT(h(s.b0));
    h.out(y);
  }

  Merged merge(const State& s, const Hook& h) const {
    if (s.tokens) return {h.weight() + token_change(*s.tokens, h), h.bias()};
    Value ba = h(s.b).mm(h(s.a));
    if (s.a0.tensor) ba = ba - h(s.b0).mm(h(s.a0));
    if (h.kind() == GRAFT_SITE_EMBEDDING) ba = ba.t();
    return {h.weight() + ba * (h.strength() * s.scale), h.bias()};
  }

  // The ranks that data has given, and the layers that are left with one.
  void save_ranks(const std::vector<const State*>& states, const AdapterFile& file) const {
    file.option("/rank_pattern", "{}");
    file.option("/alpha_pattern", "{}");
    std::string targets;
    for (const State* s : states) {
      if (s->rank == 0) continue;  // trained tokens
      targets += (targets.empty() ? "\"" : ", \"") + s->site + "\"";
      if (s->rank != rank) file.option("/rank_pattern/" + s->site, std::to_string(s->rank));
      if (s->alpha != alpha) file.option("/alpha_pattern/" + s->site, number(s->alpha));
    }
    file.option("/targets", "[" + targets + "]");
  }

  // W - s B0 A0 + s B A is a LoRA of twice the rank.
  void save(const std::vector<const State*>& states, const Values& now,
            const AdapterFile& file) const {
    if (eva.any()) save_ranks(states, file);
    if (!convert || !from_weight()) return;
    const double more = rslora ? std::sqrt(2.0) : 2;
    file.option("/init", "\"kaiming\"");
    file.option("/convert", "false");
    file.option("/rank", std::to_string(2 * rank));
    file.option("/alpha", number(alpha * more));
    file.option("/rank_pattern", "{}");
    file.option("/alpha_pattern", "{}");
    for (const State* s : states) {
      if (!s->a0.tensor) continue;
      const std::int64_t r = s->rank;
      std::vector<float> a = now.value(s->a, r * s->in);
      const std::vector<float> a0 = now.value(s->a0, r * s->in);
      const std::vector<float> b = now.value(s->b, s->out * r), b0 = now.value(s->b0, s->out * r);
      a.insert(a.end(), a0.begin(), a0.end());
      std::vector<float> both;
      for (auto row = b.begin(), row0 = b0.begin(); row != b.end(); row += r, row0 += r) {
        both.insert(both.end(), row, row + r);
        std::transform(row0, row0 + r, std::back_inserter(both), std::negate<>());
      }
      file.tensor(s->a, {2 * r, s->in}, a);
      file.tensor(s->b, {s->out, 2 * r}, both);
      const std::string site = s->site;
      if (r != rank) file.option("/rank_pattern/" + site, std::to_string(2 * r));
      if (s->alpha != alpha) file.option("/alpha_pattern/" + site, number(s->alpha * more));
    }
  }

  static std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value);
    return text;
  }

  double dropout, ratio;
  std::uint32_t frozen;
  std::string init;
  bool convert;
  std::int64_t rank;
  double alpha;
  bool rslora;
  std::vector<std::int32_t> tokens;
  std::string embedding;
  Eva eva;
};

}  // namespace

GRAFT_METHOD_PLUGIN(Lora, "org.graft.lora", "0.1.0", "graft", "Apache-2.0")
