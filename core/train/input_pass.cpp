#include "core/train/input_pass.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>

#include "core/adapt/components.hpp"
#include "core/base/error.hpp"
#include "core/base/size.hpp"
#include "core/train/trainer.hpp"

namespace graft::core {
namespace {

/// Components that have not settled by then are taken as they are.
constexpr std::int64_t kMostBatches = 100;
constexpr std::int64_t kTold = 5;  // batches between two words to who waits

std::size_t size(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

std::unique_ptr<Program> program_of(Recorder& r, const Device& device, const Bindings& bounds) {
  PlanOptions options;
  options.bounds = bounds;
  options.recompute = Recompute::kNothing;
  auto scratch = std::make_shared<Scratch>();
  Plan plan = make_plan(r, device, options);
  scratch->require(plan);
  scratch->allocate(device);
  return std::make_unique<Program>(std::move(plan), device, scratch);
}

/// The products of the decompositions, by the device.
class DeviceProducts {
 public:
  DeviceProducts(Device device, std::int64_t most_rows)
      : device_(std::move(device)), most_rows_(most_rows) {}

  Products operator()(const std::vector<float>& x, std::int64_t rows, const std::vector<float>& y,
                      std::int64_t columns) {
    const std::int64_t features = static_cast<std::int64_t>(x.size()) / rows;
    Made& m = made(features, columns);
    device_.copy_in(m.x.get(), x.data(), x.size() * sizeof(float));
    device_.copy_in(m.y.get(), y.data(), y.size() * sizeof(float));
    Bindings actual;
    actual[Symbol::kRows] = rows;
    m.program->run(actual);
    Products p{std::vector<float>(size(rows * columns)),
               std::vector<float>(size(features * columns))};
    m.program->read(m.z, p.z.data());
    m.program->read(m.w, p.w.data());
    return p;
  }

 private:
  struct Made {
    std::unique_ptr<Program> program;
    ValueId z = kNone, w = kNone;
    std::shared_ptr<void> x, y;
  };

  Made& made(std::int64_t features, std::int64_t columns) {
    Made& m = made_[{features, columns}];
    if (m.program) return m;
    Graph graph;
    Recorder r(graph);
    r.training(false);
    r.at("components of inputs", -1);
    const auto leaf = [&](std::int32_t slot, const Shape& shape) {
      return r.leaf(Role::kBuffer, slot, GRAFT_F32, shape, "");
    };
    const ValueId x = leaf(0, {Symbol::kRows, features}), y = leaf(1, {features, columns});
    m.z = r.matmul(x, y);
    m.w = r.matmul(x, m.z, GRAFT_TRANS_A);
    graph.results = {m.z, m.w};
    Bindings bounds;
    bounds[Symbol::kRows] = most_rows_;
    m.program = program_of(r, device_, bounds);
    m.x = device_.allocate(size(most_rows_ * features) * sizeof(float));
    m.y = device_.allocate(size(features * columns) * sizeof(float));
    m.program->bind(Role::kBuffer, 0, m.x.get());
    m.program->bind(Role::kBuffer, 1, m.y.get());
    return m;
  }

  Device device_;
  std::int64_t most_rows_;
  std::map<std::pair<std::int64_t, std::int64_t>, Made> made_;
};

/// Sites with the same inputs, and the components of these.
struct Group {
  std::vector<std::size_t> sites;
  PrincipalComponents components{0, 0};
  bool settled = false;
};

class Pass {
 public:
  Pass(const Device& device, Model model, Batches& batches, Observation& seen,
       std::uint64_t memory_limit)
      : device_(device), model_(std::move(model)), batches_(batches), seen_(seen) {
    record();
    std::size_t most = 0;
    for (Group& g : groups_) {
      std::size_t n = 0;
      for (const std::size_t s : g.sites) n = std::max(n, seen_.sites[s].most);
      const std::int64_t features = seen_.sites[g.sites[0]].features;
      g.components = PrincipalComponents(static_cast<std::int64_t>(n), features);
      for (const std::size_t s : g.sites) {
        seen_.sites[s].same_as = g.sites[0];
        seen_.sites[s].components = &g.components.result();
      }
      most = std::max(most, n);
    }
    multiply_ = [products = std::make_shared<DeviceProducts>(
                     device_, batches_.bounds().rows + static_cast<std::int64_t>(most) + 1)](
                    const auto& x, std::int64_t rows, const auto& y, std::int64_t columns) {
      return (*products)(x, rows, y, columns);
    };
    needs_ = bytes();
    if (memory_limit > 0 && needs_ > memory_limit) {
      throw Error(GRAFT_E_NO_MEMORY,
                  cat("train.memory_limit is ", size_text(memory_limit), ", but the pass over the ",
                      "data that parameters begin from needs ", size_text(needs_),
                      ". Lower train.batch_size or the rank, or begin without the data."));
    }
    model_.load(std::max(1, static_cast<int>(device_.info().threads)));
    model_.bind(*program_);
    set_rope_inputs(*program_, model_.config());
  }

  /// All components that are wanted have settled.
  bool done() {
    for (Group& g : groups_) {
      std::size_t wanted = 0;
      for (const std::size_t s : g.sites) wanted = std::max(wanted, seen_.sites[s].wanted);
      const std::vector<double>& cosines = g.components.cosines();
      g.settled = wanted == 0 || (cosines.size() >= wanted &&
                                  std::all_of(cosines.begin(),
                                              cosines.begin() + static_cast<std::ptrdiff_t>(wanted),
                                              [&](double c) { return c >= seen_.settled; }));
    }
    return std::all_of(groups_.begin(), groups_.end(), [](const Group& g) { return g.settled; });
  }

  std::string progress() const {
    const auto settled =
        std::count_if(groups_.begin(), groups_.end(), [](const Group& g) { return g.settled; });
    return cat("components of ", settled, " of ", groups_.size(), " inputs have settled");
  }

  /// What the pass takes at once, the process with the run's data included.
  std::uint64_t bytes() const {
    const Plan& plan = program_->plan();
    const auto rows = static_cast<std::uint64_t>(batches_.bounds().rows);
    std::uint64_t widest = 0, kept = 0;
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> products;
    for (const Group& g : groups_) {
      const auto f = static_cast<std::uint64_t>(seen_.sites[g.sites[0]].features);
      std::uint64_t n = 0;
      for (const std::size_t s : g.sites) n = std::max<std::uint64_t>(n, seen_.sites[s].most);
      const std::uint64_t c = 2 * n + 8;
      widest = std::max(widest, f);
      kept += f * n;
      products[{f, c}] = (rows + n + 1) * (f + 2 * c) + 3 * f * c;
    }
    std::uint64_t numbers = kept + 4 * rows * widest;  // taken, copied, chosen, stacked
    for (const auto& [shape, n] : products) numbers += n;
    return resident_bytes() + model_.mapped_bytes() + model_.expanded_bytes() + plan.arena_bytes +
           plan.workspace_bytes + plan.input_bytes + numbers * sizeof(float);
  }

  /// There are components of all inputs.
  bool begun() const {
    return std::all_of(groups_.begin(), groups_.end(),
                       [](const Group& g) { return g.components.result().n > 0; });
  }

  std::uint64_t needs() const { return needs_; }

  void run(const Batch& batch) {
    choose_rows(batch);
    Bindings actual = set_batch(*program_, batch, {}, model_.config());
    actual[Symbol::kSupervised] = 0;  // no loss is taken
    std::vector<std::int32_t> all(batch.ids.size());
    std::iota(all.begin(), all.end(), 0);
    program_->set_input("all_rows", all.data(), all.size() * sizeof(std::int32_t));
    program_->run(actual);
  }

 private:
  void record();
  void choose_rows(const Batch& batch);
  void take(std::size_t group);

  Device device_;
  Model model_;
  Batches& batches_;
  Observation& seen_;
  std::deque<Group> groups_;
  std::unique_ptr<Program> program_;
  std::shared_ptr<void> taken_;    ///< the inputs that were met last, in f32
  std::vector<std::size_t> rows_;  ///< of the batch, that count
  std::size_t batch_rows_ = 0;
  std::uint64_t needs_ = 0;
  Multiply multiply_;
};

// Whatever goes into a site is copied to one and the same memory, and read from there before the next
// is.
void Pass::record() {
  Graph graph;
  Recorder r(graph);
  r.training(false);
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < seen_.sites.size(); ++i) index[seen_.sites[i].name] = i;
  const std::string head(model_.config().names().head);
  std::map<ValueId, std::size_t> group_of;
  std::int64_t widest = 0;
  const SiteRunner runner = [&](Recorder& rec, const SiteCall& call) {
    const auto found = index.find(call.site.name);
    if (found != index.end()) {
      const ValueId x = call.in.at(0);
      const auto [at, fresh] = group_of.emplace(x, groups_.size());
      if (fresh) {
        groups_.emplace_back();
        const ValueId to = rec.leaf(Role::kBuffer, static_cast<std::int32_t>(at->second), GRAFT_F32,
                                    rec.shape(x), "inputs of " + call.site.name);
        rec.assign(rec.dtype(x) == GRAFT_F32 ? x : rec.cast(x, GRAFT_F32), to, false);
        widest = std::max(widest, call.site.in_features);
      }
      groups_[at->second].sites.push_back(found->second);
    }
    return call.site.name == head ? call.in : call.inner(call.in);  // logits are not needed
  };
  const DecoderMode mode{model_.dtype(), 0};
  const WeightLookup weights = model_.lookup();
  const DecoderRecording decoder{model_.config(), mode, weights, runner};
  ValueId last = decoder.hidden(r);
  if (index.count(head) > 0) {
    last = decoder.logits(r, last, r.input("all_rows", GRAFT_I32, {Symbol::kRows}));
  }
  graph.results = {last};
  const Bounds most = batches_.bounds();
  Bindings bounds;
  bounds[Symbol::kRows] = most.rows;
  bounds[Symbol::kSequences] = most.sequences;
  program_ = program_of(r, device_, bounds);
  taken_ = device_.allocate(size(most.rows * widest) * sizeof(float));
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    program_->bind(Role::kBuffer, static_cast<std::int32_t>(g), taken_.get());
  }
  program_->set_timer([this](const Node& node, double, const NodeCost&) {
    if (std::string_view(node.op->name) != "assign") return;
    const Value& to = program_->plan().graph[node.in.at(1)];
    if (to.role == Role::kBuffer) take(size(to.slot));
  });
}

void Pass::choose_rows(const Batch& batch) {
  batch_rows_ = batch.ids.size();
  rows_.clear();
  for (std::size_t j = 0; j < batch.example_ids.size(); ++j) {
    const auto begin = size(batch.cu_seqlens[j]), end = size(batch.cu_seqlens[j + 1]);
    Example example;
    if (seen_.supervised) example = batches_.dataset().example(batch.example_ids[j]);
    for (std::size_t i = begin; i < end; ++i) {
      if (!seen_.supervised || example.labels.at(i - begin) != kNoLabel) rows_.push_back(i);
    }
  }
}

void Pass::take(std::size_t group) {
  Group& g = groups_[group];
  if (g.settled) return;
  const std::size_t f = size(seen_.sites[g.sites[0]].features);
  std::vector<float> all(batch_rows_ * f), chosen;
  device_.copy_out(all.data(), taken_.get(), all.size() * sizeof(float));
  if (rows_.size() < batch_rows_) {
    chosen.reserve(rows_.size() * f);
    for (const std::size_t row : rows_) {
      const auto from = all.begin() + static_cast<std::ptrdiff_t>(row * f);
      chosen.insert(chosen.end(), from, from + static_cast<std::ptrdiff_t>(f));
    }
  } else {
    chosen = std::move(all);
  }
  g.components.add(chosen, multiply_);
}

}  // namespace

InputPass input_pass(const Device& device, std::function<Model()> open, Batches& batches,
                     std::uint64_t memory_limit, const Log& log) {
  return [=, &batches](Observation& seen, const std::function<void(std::int64_t)>& next) {
    Pass pass(device, open(), batches, seen, memory_limit);
    log.info("run", cat("a pass over the data first: at most ", kMostBatches, " batches, ",
                        size_text(pass.needs())));
    std::int64_t done = 0;
    while (!pass.done() && done < kMostBatches) {
      pass.run(batches.micro_step(done % batches.micro_steps()));
      ++done;
      if (done % kTold == 0) log.info("run", cat("batch ", done, ": ", pass.progress()));
      if (pass.begun()) {
        next(done);
      } else if (done == batches.micro_steps()) {
        throw Error(GRAFT_E_CONFIG,
                    cat("methods: no batch has as many ", seen.supervised ? "supervised " : "",
                        "tokens as there are to be components of a layer's inputs. Raise ",
                        "train.batch_size, or lower the rank."));
      }
    }
    log.info("run", cat("parameters begin from what ", done, " batches of the data put into ",
                        seen.sites.size(), " layers",
                        done < kMostBatches ? "" : "; not all components have settled"));
  };
}

}  // namespace graft::core
