// Sums, and the optimizer's step.
#include <graft/dynamic8.hpp>

#include "plugins/backends/cpu/call.hpp"

namespace graft_cpu {

namespace gb8 = graft::dynamic8;

namespace {

std::uint64_t chunks_of(std::int64_t n) {
  return static_cast<std::uint64_t>((n + kSumChunk - 1) / kSumChunk);
}

void put(const graft_view& y, double value, bool accumulate) {
  graft_view x = y;
  x.data = &value;
  x.dtype = GRAFT_F64;
  copy_view(graft_device{}, x, y, accumulate);
}

/// `view` with only the axes on which x is (not) summed.
graft_view axes_of(const graft_view& view, const graft_view& x, const graft_view& y, bool summed) {
  graft_view part = view;
  part.ndim = 0;
  for (std::int32_t d = 0; d < x.ndim; ++d) {
    if ((x.shape[d] != y.shape[d]) != summed) continue;
    part.shape[part.ndim] = view.shape[d];
    part.stride[part.ndim++] = view.stride[d];
  }
  return part;
}

/// The slow way: one value at a time, in f64.
void sum_anything(const graft_view& x_kept, const graft_view& x_summed, const graft_view& y,
                  bool accumulate) {
  const auto kept = gb::make_loop<2>({&x_kept, &y});
  const auto summed = gb::make_loop<1>({&x_summed});
  const bool wide = x_kept.dtype == GRAFT_F32;
  gb::for_each(kept, [&](const auto& at) {
    double total = 0;
    gb::for_each(summed, [&](const auto& more) {
      const std::int64_t i = at[0] + more[0];
      total += wide ? gb::data<const float>(x_kept)[i]
                    : gb::to_double(gb::data<const gb::Bf16>(x_kept)[i]);
    });
    graft_view one = y;
    one.ndim = 0;
    one.data =
        static_cast<char*>(y.data) + at[1] * static_cast<std::int64_t>(gb::dtype_bytes(y.dtype));
    put(one, total, accumulate);
  });
}

}  // namespace

std::uint64_t reduce_sum_workspace(graft_device*, const graft_kernel_args* args) {
  return chunks_of(gb::elements(args->in[0])) * sizeof(double);
}

void reduce_sum(Call& call) {
  const graft_view &x = call.args.in[0], &y = call.args.out[0];
  const bool accumulate = call.accumulates();
  require(x.ndim == y.ndim, "reduce_sum: x and y differ in rank");
  for (std::int32_t d = 0; d < x.ndim; ++d)
    require(y.shape[d] == x.shape[d] || y.shape[d] == 1,
            "reduce_sum: an extent of y is neither x's nor 1");
  const Type out = float_type(y), type = float_type(x);

  if (gb::is_dense(x) && gb::elements(y) == 1) {
    void* partial = call.workspace(reduce_sum_workspace(&call.device, &call.args));
    const double total = call.isa().sum_dense(call.device.threads, x.data, type, gb::elements(x), 0,
                                              static_cast<double*>(partial));
    put(y, total, accumulate);
    return;
  }
  const graft_view x_kept = axes_of(x, x, y, false), y_kept = axes_of(y, x, y, false);
  const graft_view x_summed = axes_of(x, x, y, true);
  const auto kept = gb::make_loop<2>({&x_kept, &y_kept});
  const auto summed = gb::make_loop<1>({&x_summed});
  RowCall c = {};
  c.threads = call.device.threads;
  c.type = type;
  c.data[0] = x.data;
  c.data[1] = y.data;
  if (summed.run_strides()[0] == 1) {
    c.nest = nest_of(kept, kept.ndim);
    c.cols = summed.run_length();
    const Nest before = nest_of(summed, summed.ndim - 1);
    call.isa().sum_rows(&c, &before, out, accumulate);
  } else if (kept.run_strides()[0] == 1 && kept.run_strides()[1] == 1) {
    c.nest = nest_of(kept, kept.ndim - 1);
    c.cols = kept.run_length();
    const Nest all = nest_of(summed, summed.ndim);
    call.isa().sum_columns(&c, &all, out, accumulate);
  } else {
    sum_anything(x_kept, x_summed, y_kept, accumulate);
  }
}

std::uint64_t sum_squares_workspace(graft_device*, const graft_kernel_args* args) {
  return chunks_of(gb::elements(args->in[0])) * sizeof(double);
}

void sum_squares(Call& call) {
  const graft_view x = call.in_dense(0);
  void* partial = call.workspace(sum_squares_workspace(&call.device, &call.args));
  const double total = call.isa().sum_dense(call.device.threads, x.data, float_type(x),
                                            gb::elements(x), 1, static_cast<double*>(partial));
  put(call.args.out[0], total, false);
}

namespace {

/// What both Adam steps have.
AdamCall adam_of(Call& call) {
  const graft_view grad = call.in_dense(0), param = call.out_dense(0, true);
  require(grad.dtype == GRAFT_F32 && param.dtype == GRAFT_F32 &&
              gb::elements(param) == gb::elements(grad),
          "adam_update: grad and param are not F32 [n]");
  AdamCall c = {};
  c.threads = call.device.threads;
  c.n = gb::elements(grad);
  c.grad = gb::data<const float>(grad);
  c.param = gb::data<float>(param);
  c.decay = *gb::data<const float>(call.args.in[1]);
  c.step_size = *gb::data<const float>(call.args.in[2]);
  c.denom_scale = *gb::data<const float>(call.args.in[3]);
  c.beta1 = static_cast<float>(call.real("beta1"));
  c.beta2 = static_cast<float>(call.real("beta2"));
  c.rest1 = static_cast<float>(1 - call.real("beta1"));
  c.rest2 = static_cast<float>(1 - call.real("beta2"));
  c.eps = static_cast<float>(call.real("eps"));
  return c;
}

}  // namespace

void adam_update(Call& call) {
  AdamCall c = adam_of(call);
  const graft_view m = call.out_dense(1, true), v = call.out_dense(2, true);
  for (const graft_view* view : {&m, &v})
    require(view->dtype == GRAFT_F32 && gb::elements(*view) == c.n,
            "adam_update: m and v are not F32 [n]");
  c.m = gb::data<float>(m);
  c.v = gb::data<float>(v);
  call.isa().adam(&c);
}

void adam8_update(Call& call) {
  Adam8Call c = {};
  c.adam = adam_of(call);
  const std::int64_t blocks = (c.adam.n + gb8::kBlock - 1) / gb8::kBlock;
  for (const int i : {1, 2})
    require(call.args.out[i].dtype == GRAFT_U8 && gb::is_dense(call.args.out[i]) &&
                gb::elements(call.args.out[i]) == c.adam.n,
            "adam8_update: m and v are not U8 [n] without gaps");
  for (const int i : {3, 4})
    require(call.args.out[i].dtype == GRAFT_F32 && gb::is_dense(call.args.out[i]) &&
                gb::elements(call.args.out[i]) == blocks,
            "adam8_update: m_scale and v_scale are not F32, one for each 256 of the gradient");
  c.m = gb::data<std::uint8_t>(call.args.out[1]);
  c.v = gb::data<std::uint8_t>(call.args.out[2]);
  c.m_scale = gb::data<float>(call.args.out[3]);
  c.v_scale = gb::data<float>(call.args.out[4]);
  const gb8::Map &with_sign = gb8::map(true), &plain = gb8::map(false);
  c.m_map = with_sign.value.data();
  c.v_map = plain.value.data();
  c.m_codes = with_sign.code.data();
  c.v_codes = plain.code.data();
  call.isa().adam8(&c);
}

}  // namespace graft_cpu
