// graft/plugin_budget.hpp: ranks, or other parts of parameters, that fall to a budget during training: how
// important each element is, how much is left when, and which parts stay.
//
// Source: Zhang et al. 2023, AdaLoRA (arXiv:2303.10512), eq. (8) to (10) and (12).
#ifndef GRAFT_PLUGIN_BUDGET_HPP
#define GRAFT_PLUGIN_BUDGET_HPP
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "plugin.hpp"

/// Properties of a schema: the schedule of a Budget, and the means of an Importance.
#define GRAFT_BUDGET_OPTIONS                                                         \
  R"("total_steps": {"type": "integer", "minimum": 1, )"                             \
  R"("description": "Steps of the whole run"}, )"                                    \
  R"("tinit": {"type": "integer", "minimum": 0, "default": 0, )"                     \
  R"("description": "Steps before ranks begin to fall"}, )"                          \
  R"("tfinal": {"type": "integer", "minimum": 0, "default": 0, )"                    \
  R"("description": "Steps at the end with the final ranks"}, )"                     \
  R"("delta_t": {"type": "integer", "minimum": 1, "default": 1, )"                   \
  R"("description": "Steps from one allocation to the next"}, )"                     \
  R"("beta1": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, )"    \
  R"("default": 0.85, "description": "Decay of the running mean of sensitivity"}, )" \
  R"("beta2": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, )"    \
  R"("default": 0.85, "description": "Decay of the running mean of its uncertainty"})"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

using Floats = std::vector<float>;

/// A matrix, and the running means of its sensitivity and of how uncertain that is.
struct Tracked {
  Param value, mean, spread;
  std::int64_t rows = 0, columns = 0;
  std::int64_t count() const { return rows * columns; }
  Floats now(const Values& values) const { return values.value(value, count()); }
};

inline Tracked track(const Site& t, const std::string& name, std::int64_t rows,
                     std::int64_t columns, Init init) {
  const std::uint32_t own = GRAFT_PARAM_WIDE | GRAFT_PARAM_FROZEN | GRAFT_PARAM_NOSAVE;
  const auto param = [&](const std::string& as, Init from, std::uint32_t flags) {
    return t.param(as.c_str(), {rows, columns}, from, flags);
  };
  return {param(name, init, GRAFT_PARAM_WIDE), param(name + "_mean", Init::zeros(), own),
          param(name + "_spread", Init::zeros(), own), rows, columns};
}

/// After a step each element p has I = |p dp|, M = b1 M + (1 - b1) I and U = b2 U + (1 - b2) |I - M|.
class Importance {
 public:
  explicit Importance(const Config& c)
      : beta1_(static_cast<float>(c.f64("/beta1"))), beta2_(static_cast<float>(c.f64("/beta2"))) {}

  /// M U, brought up to date with this step's gradient where `learn`.
  Floats operator()(const Tracked& p, const Values& now, bool learn) const {
    Floats mean = now.value(p.mean, p.count()), spread = now.value(p.spread, p.count());
    if (learn) {
      const Floats value = p.now(now), slope = now.gradient(p.value, p.count());
      for (std::size_t i = 0; i < value.size(); ++i) {
        const float sensitivity = std::fabs(value[i] * slope[i]);
        mean[i] = beta1_ * mean[i] + (1 - beta1_) * sensitivity;
        spread[i] = beta2_ * spread[i] + (1 - beta2_) * std::fabs(sensitivity - mean[i]);
      }
      now.write(p.mean, mean);
      now.write(p.spread, spread);
    }
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] *= spread[i];
    return mean;
  }

 private:
  float beta1_, beta2_;
};

/// How many parts are left after step t: all at first, the final ones from total - tfinal on, and
/// between them a cubic.
class Budget {
 public:
  explicit Budget(const Config& c)
      : total_(c.i64("/total_steps")),
        tinit_(c.i64("/tinit")),
        tfinal_(c.i64("/tfinal")),
        delta_t_(c.i64("/delta_t")) {
    if (tinit_ < total_ - tfinal_) return;
    refuse("tinit ", tinit_, " and tfinal ", tfinal_, " leave none of ", total_,
           " total_steps for ranks to fall in. Lower tinit or tfinal.");
  }

  bool falls(std::int64_t t) const { return t < total_ - tfinal_; }
  /// Nothing changes any more.
  bool over(std::int64_t t) const { return t > total_ - tfinal_; }
  /// Parts are chosen after this step.
  bool chooses(std::int64_t t) const {
    return !over(t) && (!falls(t) || (t > tinit_ && t % delta_t_ == 0));
  }
  std::int64_t left(std::int64_t t, std::int64_t all, std::int64_t in_the_end) const {
    const auto least = static_cast<double>(in_the_end);
    const double way =
        1 - static_cast<double>(t - tinit_) / static_cast<double>(total_ - tfinal_ - tinit_);
    return static_cast<std::int64_t>((static_cast<double>(all) - least) * way * way * way + least);
  }

 private:
  std::int64_t total_, tinit_, tfinal_, delta_t_;
};

/// Makes scores 1 where they are among the best of all, as many as are `left`, and 0 elsewhere. False, and
/// nothing is done, where nothing tells them apart, as in a run of one step.
inline bool keep_best(std::vector<Floats>& scores, std::int64_t left) {
  Floats all;
  for (const Floats& s : scores) all.insert(all.end(), s.begin(), s.end());
  const std::int64_t less = static_cast<std::int64_t>(all.size()) - left;
  if (less <= 0) return false;
  const float best = *std::max_element(all.begin(), all.end());
  std::nth_element(all.begin(), all.begin() + (less - 1), all.end());
  const float threshold = all[static_cast<std::size_t>(less - 1)];
  if (best <= threshold) return false;
  for (Floats& s : scores) {
    for (float& k : s) k = k > threshold ? 1.0f : 0.0f;
  }
  return true;
}

/// Means over the columns of each row, or over the rows of each column.
inline Floats row_means(const Floats& m, std::int64_t columns) {
  Floats means(m.size() / static_cast<std::size_t>(columns), 0);
  for (std::size_t i = 0; i < m.size(); ++i) means[i / static_cast<std::size_t>(columns)] += m[i];
  for (float& k : means) k /= static_cast<float>(columns);
  return means;
}
inline Floats column_means(const Floats& m, std::int64_t columns) {
  Floats means(static_cast<std::size_t>(columns), 0);
  for (std::size_t i = 0; i < m.size(); ++i) means[i % means.size()] += m[i];
  for (float& k : means) k /= static_cast<float>(m.size() / means.size());
  return means;
}

/// Makes elements 0 whose part is not kept.
inline void mask(const Tracked& p, const Floats& kept, const Values& now) {
  Floats value = p.now(now);
  for (std::size_t i = 0; i < value.size(); ++i) value[i] *= kept[i];
  now.write(p.value, value);
}

/// The rows, or the columns, of a matrix whose part is kept.
inline Floats kept_rows(const Floats& m, const Floats& kept) {
  Floats to;
  const std::size_t columns = m.size() / kept.size();
  for (std::size_t i = 0; i < m.size(); ++i) {
    if (kept[i / columns] != 0) to.push_back(m[i]);
  }
  return to;
}
inline Floats kept_columns(const Floats& m, const Floats& kept) {
  Floats to;
  for (std::size_t i = 0; i < m.size(); ++i) {
    if (kept[i % kept.size()] != 0) to.push_back(m[i]);
  }
  return to;
}

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
