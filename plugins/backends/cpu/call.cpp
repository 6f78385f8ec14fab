#include "plugins/backends/cpu/call.hpp"

#include <array>
#include <new>

namespace graft_cpu {

Type float_type(const graft_view& view) {
  if (view.dtype == GRAFT_F32) return kF32;
  if (view.dtype == GRAFT_BF16) return kBf16;
  throw Refusal{std::string("an operand is ") + gb::dtype_name(view.dtype) +
                "; this kernel computes in f32 and bf16"};
}

void* Call::memory(std::uint64_t bytes) {
  void* p = std::aligned_alloc(256, (bytes / 256 + 1) * 256);
  if (!p) throw std::bad_alloc();
  memory_.emplace_back(p);
  return p;
}

graft_view Call::copy_of(const graft_view& view, bool filled) {
  graft_view own = view;
  std::int64_t stride = 1;
  for (std::int32_t d = view.ndim - 1; d >= 0; --d) {
    own.stride[d] = stride;
    stride *= view.shape[d];
  }
  own.data = memory(static_cast<std::uint64_t>(stride) * gb::dtype_bytes(view.dtype));
  if (filled) copy_view(device, view, own, false);
  return own;
}

graft_view Call::in_rows(std::uint32_t i) {
  return last_axis_dense(args.in[i]) ? args.in[i] : copy_of(args.in[i], true);
}
graft_view Call::in_dense(std::uint32_t i) {
  return gb::is_dense(args.in[i]) ? args.in[i] : copy_of(args.in[i], true);
}
graft_view Call::out_rows(std::uint32_t i, bool kept) {
  if (last_axis_dense(args.out[i])) return args.out[i];
  home_.emplace_back(copy_of(args.out[i], kept), args.out[i]);
  return home_.back().first;
}
graft_view Call::out_dense(std::uint32_t i, bool kept) {
  if (gb::is_dense(args.out[i])) return args.out[i];
  home_.emplace_back(copy_of(args.out[i], kept), args.out[i]);
  return home_.back().first;
}
void Call::finish() {
  for (const auto& [own, out] : home_) copy_view(device, own, out, false);
}

namespace {

// The views behind the last one stand in for each other: make_loop() takes a fixed number.
std::array<const graft_view*, kMaxViews> padded(std::initializer_list<const graft_view*> views) {
  std::array<const graft_view*, kMaxViews> all;
  all.fill(*views.begin());
  std::copy(views.begin(), views.end(), all.begin());
  return all;
}

}  // namespace

RowCall rows_of(const Call& call, std::initializer_list<const graft_view*> views) {
  const graft_view& first = **views.begin();
  RowCall rows = {};
  rows.threads = call.device.threads;
  rows.type = float_type(first);
  rows.cols = last_extent(first);
  const auto all = padded(views);
  for (std::size_t i = 0; i < views.size(); ++i) {
    require(gb::same_shape(*all[i], first), "operands differ in shape");
    require(all[i]->dtype == first.dtype, "operands differ in dtype");
    rows.data[i] = all[i]->data;
  }
  const auto loop = gb::make_loop(all, first.ndim > 0 ? first.ndim - 1 : 0);
  rows.nest = nest_of(loop, loop.ndim);
  return rows;
}

ElementCall elements_of(const Call& call, std::initializer_list<const graft_view*> views) {
  const graft_view& first = **views.begin();
  ElementCall c = {};
  c.threads = call.device.threads;
  const auto all = padded(views);
  for (std::size_t i = 0; i < views.size(); ++i) {
    require(gb::same_shape(*all[i], first), "operands differ in shape");
    c.data[i] = all[i]->data;
  }
  const auto loop = gb::make_loop(all);
  c.nest = nest_of(loop, loop.ndim - 1);
  c.length = loop.run_length();
  for (std::size_t i = 0; i < views.size(); ++i) c.step[i] = loop.run_strides()[i];
  return c;
}

}  // namespace graft_cpu
