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
#include <cmath>
#include <graft/plugin_lowrank.hpp>

namespace {
using namespace graft::plugin;
using Floats = std::vector<float>;

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
      "dropout": {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0,
        "description": "Dropout on the input of A, in training"},
      "total_steps": {"type": "integer", "minimum": 1, "description": "Steps of the whole run"},
      "tinit": {"type": "integer", "minimum": 0, "default": 0,
        "description": "Steps before ranks begin to fall"},
      "tfinal": {"type": "integer", "minimum": 0, "default": 0,
        "description": "Steps at the end with the final ranks"},
      "delta_t": {"type": "integer", "minimum": 1, "default": 1,
        "description": "Steps from one allocation to the next"},
      "beta1": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": 0.85,
        "description": "Decay of the running mean of sensitivity"},
      "beta2": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": 0.85,
        "description": "Decay of the running mean of its uncertainty"},
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

  /// A parameter, and the running means of its sensitivity and of how uncertain that is.
  struct Tracked {
    Param value, mean, spread;
    std::int64_t rows = 0, columns = 0;
    std::int64_t count() const { return rows * columns; }
  };
  struct State {
    Tracked a, b, e;
    Param kept, one;  // 1 and 0 by triplet; the identity
    std::string site;
  };

  explicit AdaLora(Config c)
      : init_rank(c.i64("/init_rank")),
        target_rank(c.i64("/target_rank")),
        total(c.i64("/total_steps")),
        tinit(c.i64("/tinit")),
        tfinal(c.i64("/tfinal")),
        delta_t(c.i64("/delta_t")),
        scale((c.f64("/alpha") > 0 ? c.f64("/alpha") : static_cast<double>(init_rank)) /
              (static_cast<double>(init_rank) + 1e-5)),
        dropout(c.f64("/dropout")),
        beta1(static_cast<float>(c.f64("/beta1"))),
        beta2(static_cast<float>(c.f64("/beta2"))),
        orthogonality(c.f64("/orthogonality")),
        fixed(c.count("/rank_pattern") > 0) {
    if (tinit >= total - tfinal) {
      throw Error(GRAFT_E_INVALID, "tinit " + std::to_string(tinit) + " and tfinal " +
                                       std::to_string(tfinal) + " leave none of " +
                                       std::to_string(total) +
                                       " total_steps for ranks to fall in. Lower tinit or tfinal.");
    }
    if (target_rank > init_rank) {
      throw Error(GRAFT_E_INVALID, "target_rank " + std::to_string(target_rank) +
                                       " is above init_rank " + std::to_string(init_rank) +
                                       "; ranks only fall.");
    }
  }

  void plan(const std::vector<Site>& all) { sites = static_cast<std::int64_t>(all.size()); }

  static Tracked track(const Site& t, const std::string& parameter, std::int64_t rows,
                       std::int64_t columns, Init init) {
    const std::uint32_t own = GRAFT_PARAM_WIDE | GRAFT_PARAM_FROZEN | GRAFT_PARAM_NOSAVE;
    const auto param = [&](const std::string& as, Init from, std::uint32_t flags) {
      return t.param(as.c_str(), {rows, columns}, from, flags);
    };
    return {param(parameter, init, GRAFT_PARAM_WIDE),
            param(parameter + "_mean", Init::zeros(), own),
            param(parameter + "_spread", Init::zeros(), own), rows, columns};
  }

  std::optional<State> attach(const Site& t) const {
    std::int64_t r = t.config().count("/kept") > 0 ? 0 : init_rank;
    for (std::uint32_t i = 0; i < t.config().count("/kept"); ++i) {
      r += t.config().i64(("/kept/" + std::to_string(i)).c_str());
    }
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
    const Value update = h(s.b.value).mm(h(s.a.value) * h(s.e.value));
    return {h.weight() + update * (h.strength() * scale), h.bias()};
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

  /// M U of a parameter's elements, brought up to date with this step's gradient where `learn`.
  Floats scores(const Tracked& p, const Values& now, bool learn) const {
    Floats mean = now.value(p.mean, p.count()), spread = now.value(p.spread, p.count());
    if (learn) {
      const Floats value = now.value(p.value, p.count()), slope = now.gradient(p.value, p.count());
      for (std::size_t i = 0; i < value.size(); ++i) {
        const float sensitivity = std::fabs(value[i] * slope[i]);
        mean[i] = beta1 * mean[i] + (1 - beta1) * sensitivity;
        spread[i] = beta2 * spread[i] + (1 - beta2) * std::fabs(sensitivity - mean[i]);
      }
      now.write(p.mean, mean);
      now.write(p.spread, spread);
    }
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] *= spread[i];
    return mean;
  }

  Floats triplets(const State& s, const Values& now, bool learn) const {
    const Floats a = scores(s.a, now, learn), b = scores(s.b, now, learn);
    Floats score = scores(s.e, now, learn);
    const std::int64_t r = s.e.rows, in = s.a.columns, out = s.b.rows;
    for (std::int64_t k = 0; k < r; ++k) {
      float row = 0, column = 0;
      for (std::int64_t i = 0; i < in; ++i) row += a[static_cast<std::size_t>(k * in + i)];
      for (std::int64_t i = 0; i < out; ++i) column += b[static_cast<std::size_t>(i * r + k)];
      score[static_cast<std::size_t>(k)] +=
          row / static_cast<float>(in) + column / static_cast<float>(out);
    }
    return score;
  }

  /// Ranks that are left at step t.
  std::int64_t budget(std::int64_t t, std::int64_t all) const {
    const auto least = static_cast<double>(target_rank * sites);
    const double left =
        1 - static_cast<double>(t - tinit) / static_cast<double>(total - tfinal - tinit);
    return static_cast<std::int64_t>((static_cast<double>(all) - least) * left * left * left +
                                     least);
  }

  void after_step(const std::vector<const State*>& states, const Values& now) const {
    const std::int64_t t = now.index(), last = total - tfinal;
    if (fixed) return;
    if (t <= last) {
      std::vector<Floats> score;
      Floats all;
      for (const State* s : states) {
        score.push_back(triplets(*s, now, t < last));
        all.insert(all.end(), score.back().begin(), score.back().end());
      }
      if (t < last && (t <= tinit || t % delta_t != 0)) return;
      const auto size = static_cast<std::int64_t>(all.size());
      const std::int64_t less = size - budget(t, size);
      if (less <= 0) return;
      const float best = *std::max_element(all.begin(), all.end());
      std::nth_element(all.begin(), all.begin() + (less - 1), all.end());
      const float threshold = all[static_cast<std::size_t>(less - 1)];
      if (best <= threshold) return;  // nothing tells them apart, as in a run of one step
      for (std::size_t i = 0; i < states.size(); ++i) {
        for (float& k : score[i]) k = k > threshold ? 1.0f : 0.0f;
        now.write(states[i]->kept, score[i]);
      }
    }
    for (const State* s : states) {
      const Floats kept = now.value(s->kept, s->e.rows);
      Floats e = now.value(s->e.value, s->e.rows);
      for (std::size_t k = 0; k < e.size(); ++k) e[k] *= kept[k];
      now.write(s->e.value, e);
    }
  }

  /// Rows or columns of triplets that are kept.
  static Floats pick(const Floats& from, const Floats& kept, std::int64_t columns, bool rows) {
    Floats to;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const std::size_t at = rows ? i / static_cast<std::size_t>(columns) : i % kept.size();
      if (kept[at] != 0) to.push_back(from[i]);
    }
    return to;
  }

  void save(const std::vector<const State*>& states, const Values& now,
            const AdapterFile& file) const {
    std::vector<Floats> kept;
    bool any = false;
    for (const State* s : states) {
      kept.push_back(now.value(s->kept, s->e.rows));
      any = any || std::count(kept.back().begin(), kept.back().end(), 0.0f) > 0;
    }
    for (std::size_t i = 0; any && i < states.size(); ++i) {
      const State& s = *states[i];
      const std::int64_t in = s.a.columns, out = s.b.rows;
      const std::int64_t r = std::count(kept[i].begin(), kept[i].end(), 1.0f);
      file.tensor(s.a.value, {r, in}, pick(now.value(s.a.value, s.a.count()), kept[i], in, true));
      file.tensor(s.b.value, {out, r}, pick(now.value(s.b.value, s.b.count()), kept[i], 0, false));
      file.tensor(s.e.value, {r, 1}, pick(now.value(s.e.value, s.e.count()), kept[i], 1, true));
      std::string pattern;
      for (const float k : kept[i]) pattern += k != 0 ? ",true" : ",false";
      file.option("/rank_pattern/" + s.site + ".lora_E", "[" + pattern.substr(1) + "]");
    }
  }

  std::int64_t init_rank, target_rank, total, tinit, tfinal, delta_t, sites = 0;
  double scale, dropout;
  float beta1, beta2;
  double orthogonality;
  bool fixed;
};

}  // namespace

GRAFT_METHOD_PLUGIN(AdaLora, "org.graft.adalora", "0.1.0", "graft", "Apache-2.0")
