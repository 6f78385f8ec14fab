// AdaLoRA: updates P diag(e) Q whose ranks are set during training, from one budget for all layers.
//
//   y = W x + b + s B (E * A) dropout(x)      A [r, in], E [r, 1], B [out, r], s = alpha / (r0 + 1e-5)
//   loss += w mean over all A and B of |A A^T - 1| and |B^T B - 1|      (Frobenius)
//
// After step t each element p of A, E, B has I = |p dp|, M = b1 M + (1 - b1) I and U = b2 U + (1 - b2)
// |I - M|. The score of a triplet is M U of its e and the means of M U over its row of A and column of
// B. Those beyond the budget of step t, which falls from all to the final one by a cubic, get e = 0.
//
// Source: Zhang et al. 2023, "AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient
// Fine-Tuning" (arXiv:2303.10512), eq. (3), (4), (8) to (10) and (12). The mean in the loss, r0 (the
// rank at first) and where steps begin are PEFT's.
#include <algorithm>
#include <graft/plugin_budget.hpp>
#include <graft/plugin_lowrank.hpp>
#include <numeric>

namespace {
using namespace graft::plugin;

struct AdaLora {
  static constexpr const char* name = "adalora";
  static constexpr std::uint32_t kinds = GRAFT_SITE_LINEAR;
  static constexpr const char* schema =
      R"({)" GRAFT_LORA_TARGETS
      R"(, "type": "object", "additionalProperties": false, "required": ["total_steps"], "properties": {
      "init_rank": {"type": "integer", "minimum": 1, "default": 12,
        "description": "Rank of every layer at first"},
      "target_rank": {"type": "integer", "minimum": 1, "default": 8,
        "description": "Mean rank of the layers in the end"},
      "alpha": {"type": "number", "default": 16, "description": "The update is scaled by alpha / init_rank"},
      )" GRAFT_DROPOUT_OPTION R"(,
      )" GRAFT_BUDGET_OPTIONS R"(,
      "orthogonality": {"type": "number", "minimum": 0, "default": 0.5,
        "description": "Weight of the term of the loss that keeps A and B orthogonal"},
      "rank_pattern": {"type": "object", "default": {}, "x-graft-overrides": "kept",
        "x-graft-suffix": ".lora_E",
        "additionalProperties": {"type": "array", "items": {"type": "boolean"}},
        "description": "Which of the first ranks a layer has kept; its ranks then stay"},
      )" GRAFT_BIAS_OPTION "}}";
  static constexpr const char* storage = R"({
    "peft_type": "ADALORA",
    "fields": {"init_rank": "init_r", "target_rank": "target_r",
               "alpha": {"key": "lora_alpha", "missing": 8}, "dropout": "lora_dropout",
               "total_steps": "total_step", "tinit": "tinit", "tfinal": "tfinal",
               "delta_t": "deltaT", "beta1": "beta1", "beta2": "beta2",
               "orthogonality": "orth_reg_weight", "rank_pattern": "rank_pattern", "bias": "bias"},
    "constants": {"fan_in_fan_out": false, "use_dora": false, "lora_bias": false,
                  "use_qalora": false, "layer_replication": null},
    "ignored": ["r", "alpha_pattern", "use_rslora", "init_lora_weights", )" GRAFT_LORA_IGNORED "]}";

  struct State {
    Tracked a, b, e;
    Param kept, one;  // 1 and 0 by triplet; the identity
    std::string site;
  };

  explicit AdaLora(Config config) : c(config) {
    if (target_rank <= init_rank) return;
    refuse("target_rank ", target_rank, " is above init_rank ", init_rank, "; ranks only fall.");
  }

  void plan(const std::vector<Site>& all) { sites = static_cast<std::int64_t>(all.size()); }

  std::optional<State> attach(const Site& t) const {
    const auto given = t.config().integers("/kept");
    const std::int64_t left = std::accumulate(given.begin(), given.end(), std::int64_t{0});
    const std::int64_t r = given.empty() ? init_rank : left;
    if (r == 0) return std::nullopt;
    const std::uint32_t own = GRAFT_PARAM_WIDE | GRAFT_PARAM_FROZEN | GRAFT_PARAM_NOSAVE;
    return State{track(t, "lora_A", r, t.in_features(), Init::normal(0.02)),
                 track(t, "lora_B", t.out_features(), r, Init::normal(0.02)),
                 track(t, "lora_E", r, 1, Init::zeros()),
                 t.param("kept", {r}, Init::ones(), own),
                 t.param(("one_" + std::to_string(r)).c_str(), {r, r}, Init::eye(),
                         own | GRAFT_PARAM_SHARED),
                 t.name()};
  }

  void forward(const State& s, const Hook& h) const {
    const Value x = h.in();
    const Value a = (h(s.a.value) * h(s.e.value)).cast(x.dtype());
    const Value b = h(s.b.value).cast(x.dtype());
    h.out(h.next() + (x.dropout(dropout).mmT(a) * (h.strength() * scale)).mmT(b));
  }

  Merged merge(const State& s, const Hook& h) const {
    return h.plus(h(s.b.value).mm(h(s.a.value) * h(s.e.value)) * (h.strength() * scale));
  }

  Value loss(const State& s, const Hook& h) const {
    if (orthogonality == 0) return {};
    const Value a = h(s.a.value), b = h(s.b.value);
    const auto distance = [&](Value square) {
      const Value d = square - h(s.one);
      return (d * d).sum(-1).sum(0, true).sqrt();
    };
    const double share = orthogonality / static_cast<double>(2 * sites);
    return (distance(a.mmT(a)) + distance(b.tmm(b))) * share;
  }

  Floats triplets(const State& s, const Values& now, bool learn) const {
    const Floats rows = row_means(importance(s.a, now, learn), s.a.columns);
    const Floats columns = column_means(importance(s.b, now, learn), s.b.columns);
    Floats score = importance(s.e, now, learn);
    for (std::size_t k = 0; k < score.size(); ++k) score[k] += rows[k] + columns[k];
    return score;
  }

  static Floats left(const State& s, const Values& now) { return now.value(s.kept, s.e.rows); }

  void after_step(const std::vector<const State*>& states, const Values& now) const {
    const std::int64_t t = now.index();
    if (fixed) return;
    if (!budget.over(t)) {
      std::vector<Floats> score;
      for (const State* s : states) score.push_back(triplets(*s, now, budget.falls(t)));
      if (!budget.chooses(t)) return;
      std::int64_t all = 0;
      for (const State* s : states) all += s->e.rows;
      if (!keep_best(score, budget.left(t, all, target_rank * sites))) return;
      for (std::size_t i = 0; i < states.size(); ++i) now.write(states[i]->kept, score[i]);
    }
    for (const State* s : states) mask(s->e, left(*s, now), now);
  }

  /// Triplets that are left, once any is not.
  void save(const std::vector<const State*>& states, const Values& now,
            const AdapterFile& file) const {
    const auto whole = [&](const State* s) {
      const Floats kept = left(*s, now);
      return std::count(kept.begin(), kept.end(), 0.0f) == 0;
    };
    if (std::all_of(states.begin(), states.end(), whole)) return;
    for (const State* s : states) {
      const Floats kept = left(*s, now);
      const std::int64_t r = std::count(kept.begin(), kept.end(), 1.0f);
      file.tensor(s->a.value, {r, s->a.columns}, kept_rows(s->a.now(now), kept));
      file.tensor(s->b.value, {s->b.rows, r}, kept_columns(s->b.now(now), kept));
      file.tensor(s->e.value, {r, 1}, kept_rows(s->e.now(now), kept));
      std::string pattern;
      for (const float k : kept) pattern += k != 0 ? ",true" : ",false";
      file.option("/rank_pattern/" + s->site + ".lora_E", "[" + pattern.substr(1) + "]");
    }
  }

  Config c;
  Budget budget{c};
  Importance importance{c};
  std::int64_t init_rank = c.i64("/init_rank"), target_rank = c.i64("/target_rank"), sites = 0;
  double scale = (c.f64("/alpha") > 0 ? c.f64("/alpha") : static_cast<double>(init_rank)) /
                 (static_cast<double>(init_rank) + 1e-5);
  double dropout = c.f64("/dropout"), orthogonality = c.f64("/orthogonality");
  bool fixed = c.count("/rank_pattern") > 0;
};

}  // namespace

GRAFT_METHOD_PLUGIN(AdaLora, "org.graft.adalora", "0.1.0", "graft", "Apache-2.0")
