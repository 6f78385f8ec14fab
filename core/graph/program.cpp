#include "core/graph/program.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/base/error.hpp"
#include "core/graph/kernel_args.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

std::size_t at(ValueId id) {
  return static_cast<std::size_t>(id);
}

/// The rows [start, start + length) of every axis that runs over supervised rows.
Layout cut(Layout l, const Shape& shape, std::int64_t start, std::int64_t length) {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!shape[i].has(Symbol::kSupervised)) continue;
    l.offset += start * l.stride[i];
    l.shape[i] = length;
  }
  return l;
}

}  // namespace

void Scratch::require(const Plan& plan) {
  if (memory_) throw Error(GRAFT_E_STATE, "scratch memory is allocated already.");
  arena_ = std::max(arena_, plan.arena_bytes);
  workspace_ = std::max(workspace_, plan.workspace_bytes);
}

void Scratch::allocate(const Device& device) {
  memory_ = device.allocate(bytes());
}

Program::Program(Plan plan, Device device, std::shared_ptr<Scratch> scratch)
    : plan_(std::move(plan)), device_(std::move(device)), scratch_(std::move(scratch)) {
  for (const ValueId id : plan_.graph.inputs) inputs_[plan_.graph[id].name] = id;
  roots_.resize(plan_.root.size());
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    ValueId id = static_cast<ValueId>(i);
    while (plan_.root[at(id)] != id) id = plan_.root[at(id)];
    roots_[i] = id;
  }
}

void Program::bind(Role role, std::int32_t slot, void* data) {
  bound_[{static_cast<int>(role), slot}] = data;
}

void Program::set_input(std::string_view name, const void* data, std::uint64_t bytes) {
  const auto found = inputs_.find(std::string(name));
  if (found == inputs_.end()) return;
  const Value& v = plan_.graph[found->second];
  const auto room =
      static_cast<std::uint64_t>(count(v.shape, plan_.options.bounds)) * dtype_size(v.dtype);
  if (bytes > room) {
    throw Error(GRAFT_E_INVALID, cat("input '", name, "' was given ", bytes,
                                     " bytes; it was planned for ", room, "."));
  }
  if (!input_memory_) input_memory_ = device_.allocate(plan_.input_bytes);
  device_.copy_in(
      static_cast<std::byte*>(input_memory_.get()) + plan_.home[at(found->second)].offset, data,
      bytes);
}

void Program::set_scalar(std::string_view name, double value) {
  const auto found = inputs_.find(std::string(name));
  if (found == inputs_.end()) return;
  const std::uint32_t dtype = plan_.graph[found->second].dtype;
  std::byte bytes[8];
  convert(dtype, bytes, GRAFT_F64, &value, 1);
  set_input(name, bytes, dtype_size(dtype));
}

std::byte* Program::base(ValueId root) const {
  const Home& home = plan_.home[at(root)];
  switch (home.kind) {
    case Home::Kind::kArena:
      return scratch_->arena() + home.offset;
    case Home::Kind::kInput:
      return static_cast<std::byte*>(input_memory_.get()) + home.offset;
    case Home::Kind::kUnused:
      throw Error(GRAFT_E_INTERNAL, "a value without memory was read.");
    default:
      break;
  }
  const auto found = bound_.find({static_cast<int>(plan_.graph[root].role), home.slot});
  if (found == bound_.end()) {
    throw Error(GRAFT_E_STATE, cat("'", plan_.graph[root].name, "' is not bound to memory."));
  }
  return static_cast<std::byte*>(found->second);
}

graft_view Program::view(ValueId id, const Layout& layout) const {
  graft_view v = make_view(plan_.graph[id], layout);
  v.device_type = device_.info().device_type;
  if (v.quant) return v;
  v.data = base(roots_[at(id)]) + layout.offset * static_cast<std::int64_t>(dtype_size(v.dtype));
  return v;
}

std::vector<Layout> Program::evaluate(const Bindings& b) const {
  std::vector<Layout> layouts(plan_.graph.values.size());
  std::vector<bool> done(layouts.size(), false);
  const std::function<const Layout&(ValueId)> of = [&](ValueId id) -> const Layout& {
    if (done[at(id)]) return layouts[at(id)];
    const std::int64_t view = plan_.view[at(id)];
    if (view < 0) {
      layouts[at(id)] = dense_layout(plan_.graph[id].shape, b);
    } else {
      const Node& node = plan_.graph.nodes[static_cast<std::size_t>(view)];
      const auto l = view_layout(node, of(node.in[0]), plan_.graph[id].shape, b);
      if (!l) throw Error(GRAFT_E_INTERNAL, cat("reshape at '", node.site, "' needs a copy."));
      layouts[at(id)] = *l;
    }
    done[at(id)] = true;
    return layouts[at(id)];
  };
  for (std::size_t i = 0; i < layouts.size(); ++i) of(static_cast<ValueId>(i));
  return layouts;
}

void Program::prepare(const Bindings& actual) {
  if (prepared_ && actual == last_) return;
  for (int i = 0; i < kSymbols; ++i) {
    const auto s = static_cast<Symbol>(i);
    if (actual[s] < 0 || actual[s] > plan_.options.bounds[s]) {
      throw Error(GRAFT_E_INVALID,
                  cat("a run with ", actual[s], " ", to_string(Extent(s)),
                      " was asked for, but the plan holds at most ", plan_.options.bounds[s], "."));
    }
  }
  layouts_ = evaluate(actual);
  last_ = actual;
  prepared_ = true;
}

void Program::zero(ValueId id) {
  graft_view out = view(id, layouts_[at(id)]);
  const graft_attr value{"value", nullptr, 0, 0};
  graft_kernel_args args{};
  args.struct_size = sizeof args;
  args.n_out = args.n_attr = 1;
  args.out = &out;
  args.attr = &value;
  graft_error error{};
  check(device_.kernel("fill/1")->run(device_.stream(), &args, &error), error, "fill/1");
}

void Program::run_call(std::size_t index, const std::vector<Layout>& inner, std::int64_t tile_start,
                       std::int64_t tile_length, std::int64_t rows) {
  const Call& call = plan_.calls[index];
  const Node& node = plan_.graph.nodes[static_cast<std::size_t>(call.node)];
  const bool whole = tile_length == rows;
  const auto layout = [&](ValueId id) {
    if (whole) return layouts_[at(id)];
    if (plan_.home[at(roots_[at(id)])].inner) return inner[at(id)];
    return cut(layouts_[at(id)], plan_.graph[id].shape, tile_start, tile_length);
  };
  std::vector<Layout> in, out;
  for (const ValueId id : call.in) in.push_back(layout(id));
  for (const ValueId id : call.out) out.push_back(layout(id));
  kernel_layouts(node, in, out);
  std::vector<graft_view> in_views, out_views;
  for (std::size_t i = 0; i < in.size(); ++i) in_views.push_back(view(call.in[i], in[i]));
  for (std::size_t i = 0; i < out.size(); ++i) out_views.push_back(view(call.out[i], out[i]));
  graft_kernel_args args{};
  args.struct_size = sizeof args;
  args.n_in = static_cast<std::uint32_t>(in_views.size());
  args.n_out = static_cast<std::uint32_t>(out_views.size());
  args.n_attr = static_cast<std::uint32_t>(call.attrs.size());
  args.in = in_views.data();
  args.out = out_views.data();
  args.attr = call.attrs.data();
  args.workspace = scratch_->workspace();
  args.workspace_size = scratch_->workspace_bytes();
  graft_error error{};
  const auto start = std::chrono::steady_clock::now();
  const graft_status status = call.kernel->run(device_.stream(), &args, &error);
  if (status != GRAFT_OK) {
    throw Error(status < 0 ? status : graft_status{GRAFT_E_INTERNAL},
                cat("kernel '", call.kernel->name, "' of backend '", device_.name(), "' at '",
                    node.site, "': ", error.message[0] ? error.message : "failed", "."));
  }
  if (timer_) {
    device_.wait();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    timer_(node, took.count(), cost_of(node, args, last_));
  }
}

void Program::run(const Bindings& actual) {
  if (!scratch_->allocated()) throw Error(GRAFT_E_STATE, "scratch memory is not allocated.");
  if (!input_memory_) input_memory_ = device_.allocate(plan_.input_bytes);
  prepare(actual);
  const auto begin = static_cast<std::size_t>(plan_.tiled_begin);
  const auto end = static_cast<std::size_t>(plan_.tiled_end);
  for (std::size_t c = 0; c < begin; ++c) run_call(c, layouts_, 0, 0, 0);
  if (begin < end) {
    for (std::size_t c = begin; c < end; ++c) {
      if (plan_.calls[c].zero_first) zero(plan_.calls[c].out[0]);
    }
    const std::int64_t rows = actual[Symbol::kSupervised];
    const std::int64_t tile = plan_.options.tile_rows;
    Bindings cut_to = actual;
    std::vector<Layout> inner;
    for (std::int64_t start = 0; start < rows; start += tile) {
      const std::int64_t length = std::min(tile, rows - start);
      if (length != rows && (inner.empty() || cut_to[Symbol::kSupervised] != length)) {
        cut_to[Symbol::kSupervised] = length;
        inner = evaluate(cut_to);
      }
      for (std::size_t c = begin; c < end; ++c) run_call(c, inner, start, length, rows);
    }
  }
  for (std::size_t c = end; c < plan_.calls.size(); ++c) run_call(c, layouts_, 0, 0, 0);
  device_.wait();
}

const void* Program::data(ValueId result) const {
  const Layout& l = layouts_.at(at(result));
  return base(roots_[at(result)]) +
         l.offset * static_cast<std::int64_t>(dtype_size(plan_.graph[result].dtype));
}

void Program::read(ValueId result, void* host) const {
  const Layout& l = layouts_.at(at(result));
  if (!l.dense()) throw Error(GRAFT_E_INTERNAL, "a result must be dense to be read.");
  device_.copy_out(host, data(result),
                   static_cast<std::uint64_t>(l.count()) * dtype_size(plan_.graph[result].dtype));
}

}  // namespace graft::core
