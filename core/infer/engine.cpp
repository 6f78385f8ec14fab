#include "core/infer/engine.hpp"

#include <algorithm>
#include <numeric>

#include "core/adapt/virtual_tokens.hpp"
#include "core/base/error.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

constexpr std::int64_t kPrefillRows = 256;

/// The next of 16, 32, 64, ..: how much room a recording is planned for.
std::int64_t bucket(std::int64_t n) {
  std::int64_t b = 16;
  while (b < n) b *= 2;
  return b;
}

Bindings extents(std::int64_t rows, std::int64_t supervised) {
  Bindings b;
  b[Symbol::kRows] = rows;
  b[Symbol::kSequences] = 1;
  b[Symbol::kSupervised] = supervised;
  return b;
}

std::vector<std::int32_t> counting(std::int64_t from, std::size_t n) {
  std::vector<std::int32_t> v(n);
  std::iota(v.begin(), v.end(), static_cast<std::int32_t>(from));
  return v;
}

void set(Program& p, const char* name, const std::vector<std::int32_t>& values) {
  p.set_input(name, values.data(), values.size() * sizeof(std::int32_t));
}

}  // namespace

InferenceEngine::InferenceEngine(Device device, Model model, std::unique_ptr<AdapterSet> adapters,
                                 const std::vector<std::vector<float>>& values,
                                 const std::vector<double>& strengths)
    : device_(std::move(device)),
      model_(std::move(model)),
      adapters_(std::move(adapters)),
      strengths_(strengths) {
  use(std::vector<bool>(adapters_->entries().size(), true));
  const auto& parameters = adapters_->parameters();
  layout_ = lay_out(parameters, std::vector<bool>(parameters.size(), true));
  model_.load(std::max(1, static_cast<int>(device_.info().threads)));
  memory_ = ParameterMemory::allocate(device_, layout_, model_.dtype(), false, {});
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    std::vector<float> start = values.at(i);
    if (start.empty()) {
      start = initial_values(parameters[i], 0,
                             [&](const std::string& name) { return model_.values(name); });
    }
    std::vector<std::byte> bytes(start.size() * dtype_size(memory_.master_dtype));
    convert(memory_.master_dtype, bytes.data(), GRAFT_F32, start.data(),
            static_cast<std::int64_t>(start.size()));
    device_.copy_in(memory_.master_at(layout_.offset[i]), bytes.data(), bytes.size());
  }
  device_.wait();
  auto scratch = std::make_shared<Scratch>();
  Refresh refresh(device_, layout_, model_.dtype(), scratch);
  scratch->allocate(device_);
  refresh.run(memory_);
}

InferenceEngine::Recorded InferenceEngine::record(std::int64_t rows, std::int64_t cache_rows,
                                                  bool scores, bool follows) {
  Graph graph;
  Recorder r(graph);
  r.training(false);
  const std::uint32_t dtype = model_.dtype();
  AdapterRecording attached(*adapters_, r, dtype, false, active_);
  attached.follows(follows);
  const WeightLookup weights = attached.lookup(model_.lookup());
  const SiteRunner runner = attached.runner();
  const DecoderMode mode{dtype, cache_rows};
  const DecoderRecording decoder{model_.config(), mode, weights, runner};
  Recorded result;
  result.rows = rows;
  const ValueId hidden = decoder.hidden(r);
  if (scores) {
    const ValueId at = r.input("supervised_rows", GRAFT_I32, {Symbol::kSupervised});
    const ValueId labels = r.input("labels", GRAFT_I32, {Symbol::kSupervised});
    result.losses = r.record("cross_entropy", {decoder.logits(r, hidden, at), labels}).at(0);
    graph.results.push_back(result.losses);
  }
  const ValueId last = r.input("last_rows", GRAFT_I32, {Symbol::kSequences});
  result.logits = decoder.logits(r, hidden, last);
  graph.results.push_back(result.logits);
  PlanOptions options;
  options.bounds = extents(rows, scores ? rows : 0);
  Plan plan = make_plan(r, device_, options);
  auto scratch = std::make_shared<Scratch>();
  scratch->require(plan);
  scratch->allocate(device_);
  result.program = std::make_unique<Program>(std::move(plan), device_, scratch);
  bind(*result.program);
  return result;
}

void InferenceEngine::bind(Program& p) {
  model_.bind(p);
  const auto& parameters = adapters_->parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    p.bind(Role::kParameter, static_cast<std::int32_t>(i),
           memory_.seen_at(parameters[i], layout_.offset[i]));
  }
  for (std::size_t i = 0; i < cache_.size(); ++i) {
    p.bind(Role::kBuffer, static_cast<std::int32_t>(i), cache_[i].get());
  }
  set_rope_inputs(p, model_.config());
  for (std::size_t e = 0; e < strengths_.size(); ++e) {
    p.set_scalar(cat("strength.", e), strengths_[e]);
  }
}

std::vector<float> InferenceEngine::read_floats(const Recorded& r, ValueId id) const {
  const auto n = r.program->layout(id).count();
  const std::uint32_t dtype = r.program->plan().graph[id].dtype;
  std::vector<std::byte> raw(static_cast<std::size_t>(n) * dtype_size(dtype));
  r.program->read(id, raw.data());
  std::vector<float> values(static_cast<std::size_t>(n));
  convert(GRAFT_F32, values.data(), dtype, raw.data(), n);
  return values;
}

void InferenceEngine::use(const std::vector<bool>& active) {
  if (active == active_) return;
  virtual_tokens_ = adapters_->virtual_tokens(active);
  active_ = active;
  scoring_ = {};
  first_ = {};
  prefill_ = {};
  decode_ = {};
  cache_.clear();
  capacity_ = 0;
}

Scored InferenceEngine::score(const std::vector<std::int32_t>& ids, bool last_logits) {
  const auto n = static_cast<std::int64_t>(ids.size());
  if (n == 0) return {};
  if (scoring_.rows < n) {
    scoring_ = {};  // its memory is free before the larger one is taken
    scoring_ = record(bucket(n), 0, true, false);
  }
  Program& p = *scoring_.program;
  const VirtualTokens more = virtual_tokens_;
  const auto rows = static_cast<std::size_t>(n + more.prompt);
  set(p, "ids", ids);
  set(p, "positions", counting(more.prefix, rows));
  set(p, "cu_q", {0, static_cast<std::int32_t>(rows)});
  set(p, "k_begin", {0});
  set(p, "k_len", {static_cast<std::int32_t>(n + more.total())});
  set(p, "rope_table",
      std::vector<std::int32_t>(rows, rope_table(model_.config(), n + more.total())));
  set(p, "supervised_rows", counting(more.prompt, ids.size() - 1));
  set(p, "labels", std::vector<std::int32_t>(ids.begin() + 1, ids.end()));
  set(p, "last_rows", {static_cast<std::int32_t>(rows - 1)});
  set_prepend_inputs(p, {0, static_cast<std::int32_t>(n)});
  p.run(extents(n, n - 1));
  Scored result;
  result.logprobs = read_floats(scoring_, scoring_.losses);
  for (float& x : result.logprobs) x = -x;
  if (last_logits) result.last_logits = read_floats(scoring_, scoring_.logits);
  return result;
}

void InferenceEngine::begin(std::int64_t capacity) {
  filled_ = 0;
  fed_.clear();
  const VirtualTokens more = virtual_tokens_;
  capacity += more.total();
  if (capacity <= capacity_) return;
  first_ = {};
  prefill_ = {};
  decode_ = {};
  cache_.clear();
  capacity_ = bucket(capacity);
  const DecoderConfig& c = model_.config();
  const std::uint64_t bytes =
      static_cast<std::uint64_t>(capacity_ * c.kv_heads * c.head_dim) * dtype_size(model_.dtype());
  for (std::int64_t i = 0; i < 2 * c.layers; ++i) cache_.push_back(device_.allocate(bytes));
  const std::int64_t rows = std::min(kPrefillRows, capacity_);
  if (more.total() > 0) first_ = record(rows, capacity_, false, false);
  prefill_ = record(rows, capacity_, false, true);
  decode_ = record(1, capacity_, false, true);
}

std::vector<float> InferenceEngine::feed(const std::vector<std::int32_t>& ids) {
  const VirtualTokens more = virtual_tokens_;
  const bool starts = filled_ == 0 && more.total() > 0;
  const std::int64_t wanted =
      filled_ + static_cast<std::int64_t>(ids.size()) + (starts ? more.total() : 0);
  if (wanted > capacity_) {
    throw Error(GRAFT_E_INVALID, cat("the key-value cache holds ", capacity_, " tokens; ", wanted,
                                     " are asked for."));
  }
  const std::int32_t table = rope_table(model_.config(), wanted);
  if (table != rope_table_ && filled_ > 0) {
    // Keys in the cache were turned by other frequencies: all is computed again.
    std::vector<std::int32_t> all = std::move(fed_);
    all.insert(all.end(), ids.begin(), ids.end());
    filled_ = 0;
    fed_.clear();
    return feed(all);
  }
  rope_table_ = table;
  fed_.insert(fed_.end(), ids.begin(), ids.end());
  if (ids.size() == 1 && !starts) return feed_chunk(decode_, ids, {});
  std::vector<float> logits;
  for (std::size_t begin = 0; begin < ids.size();) {
    const bool first = starts && begin == 0;
    const std::size_t n = std::min(ids.size() - begin, static_cast<std::size_t>(prefill_.rows));
    const auto from = ids.begin() + static_cast<std::ptrdiff_t>(begin);
    logits = feed_chunk(first ? first_ : prefill_, {from, from + static_cast<std::ptrdiff_t>(n)},
                        first ? more : VirtualTokens{});
    begin += n;
  }
  return logits;
}

std::vector<float> InferenceEngine::feed_chunk(Recorded& r, const std::vector<std::int32_t>& ids,
                                               const VirtualTokens& more) {
  Program& p = *r.program;
  const auto n = static_cast<std::int64_t>(ids.size());
  const std::int64_t rows = n + more.prompt, kept = n + more.total();
  set(p, "ids", ids);
  set(p, "positions", counting(filled_ + more.prefix, static_cast<std::size_t>(rows)));
  set(p, "cache_rows", counting(filled_, static_cast<std::size_t>(kept)));
  set(p, "cu_q", {0, static_cast<std::int32_t>(rows)});
  set(p, "k_begin", {0});
  set(p, "k_len", {static_cast<std::int32_t>(filled_ + kept)});
  set(p, "rope_table", std::vector<std::int32_t>(static_cast<std::size_t>(rows), rope_table_));
  set(p, "last_rows", {static_cast<std::int32_t>(rows - 1)});
  set_prepend_inputs(p, {0, static_cast<std::int32_t>(n)});
  p.run(extents(n, 0));
  filled_ += kept;
  return read_floats(r, r.logits);
}

}  // namespace graft::core
