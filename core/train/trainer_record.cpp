// What a step records: the base with the methods of all runs, the loss, its derivative.
#include "core/adapt/row_groups.hpp"
#include "core/graph/differentiate.hpp"
#include "core/train/trainer_state.hpp"

namespace graft::core {
namespace {

/// The extents of such a pass. `rows`: of each run.
Bindings bindings_of(const Bounds& all, const std::vector<std::int64_t>& rows) {
  Bindings result;
  result[Symbol::kRows] = all.rows;
  result[Symbol::kSequences] = all.sequences;
  result[Symbol::kSupervised] = all.supervised;
  for (std::size_t k = 0; k < rows.size() && rows.size() > 1; ++k) result[group_rows(k)] = rows[k];
  return result;
}

}  // namespace

std::vector<Bounds> Trainer::State::bounds(bool training) const {
  std::vector<Bounds> result;
  for (const Part& part : parts) result.push_back(training ? part.run.train : part.run.eval);
  return result;
}

/// The losses of supervised rows summed by run, [runs].
ValueId Trainer::State::losses_by_run(Recorder& r, ValueId losses) const {
  if (!groups()) return r.sum(losses, 0, true);
  Params params;
  params.attrs = {{"dtype", static_cast<std::int64_t>(r.dtype(losses)), 0}};
  params.shape = {static_cast<std::int64_t>(parts.size())};
  const ValueId run_of = r.input("supervised_runs", GRAFT_I32, {Symbol::kSupervised});
  return r.record(*find_op("scatter_add"), {losses, run_of}, std::move(params)).at(0);
}

Trainer::State::Recorded Trainer::State::record(bool training, Recompute recompute) {
  Graph graph;
  Recorder r(graph);
  r.training(training);
  const std::uint32_t dtype = model.dtype(), wide = statistics_dtype(dtype);
  Recorded result;
  std::vector<std::unique_ptr<AdapterRecording>> attached;
  std::vector<AdapterRecording*> sets;
  for (const Part& part : parts) {
    AdapterSet& set = *part.run.adapters;
    const std::vector<bool> all(set.entries().size(), true);
    attached.push_back(
        std::make_unique<AdapterRecording>(set, r, dtype, training, all, part.place));
    sets.push_back(attached.back().get());
    result.terms.push_back(training ? attached.back()->loss_terms() : kNone);
  }
  const WeightLookup weights = groups() ? model.lookup() : attached[0]->lookup(model.lookup());
  const SiteRunner runner = groups() ? run_by_group(sets) : attached[0]->runner();
  const DecoderMode mode{dtype, 0};
  const DecoderRecording decoder{model.config(), mode, weights, runner};
  const ValueId rows = r.input("supervised_rows", GRAFT_I32, {Symbol::kSupervised});
  const ValueId logits = decoder.logits(r, decoder.hidden(r), rows);
  r.at("loss", -1);
  const ValueId labels = r.input("labels", GRAFT_I32, {Symbol::kSupervised});
  const ValueId losses = r.record("cross_entropy", {logits, labels}).at(0);
  result.losses = losses_by_run(r, losses);
  graph.results = {result.losses};
  if (training) {
    const Extent runs = static_cast<std::int64_t>(parts.size());
    ValueId mean = r.sum(r.mul(result.losses, r.input("inv_denominator", wide, {runs})), 0, true);
    for (std::size_t k = 0; k < parts.size(); ++k) {  // once per step, whatever its micro-steps
      const ValueId term = result.terms[k];
      if (term == kNone) continue;
      graph.results.push_back(term);
      mean = r.add(mean, r.mul(term, r.scalar(cat("inv_micro_steps.", k), wide)));
    }
    for (const auto& [leaf, gradient] : differentiate(r, mean)) {
      const Value& p = graph[leaf];
      const ValueId target = r.leaf(Role::kBuffer, p.slot, wide, p.shape, "gradient of " + p.name);
      r.direction(Direction::kBackward);
      r.assign(gradient, target, true);
    }
  }
  std::vector<std::int64_t> group_bounds;
  for (const Bounds& b : bounds(training)) group_bounds.push_back(b.rows);
  PlanOptions plan_options;
  plan_options.bounds = bindings_of(bounds_of(bounds(training), training), group_bounds);
  plan_options.recompute = training ? recompute : Recompute::kNothing;
  result.plan = make_plan(r, device, plan_options);
  return result;
}

}  // namespace graft::core
