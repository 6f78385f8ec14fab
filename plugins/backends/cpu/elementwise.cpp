// Arithmetic, activations, copies.
#include <cmath>

#include "plugins/backends/cpu/call.hpp"
#include "plugins/backends/cpu/quant.hpp"

namespace graft_cpu {

namespace {

// ---- copies -----------------------------------------------------------------------------------

template <typename F>
void with_copy_type(std::uint32_t dtype, F&& f) {
  switch (dtype) {
    case GRAFT_F64:
      return f(double{});
    case GRAFT_F32:
      return f(float{});
    case GRAFT_F16:
      return f(gb::F16{});
    case GRAFT_BF16:
      return f(gb::Bf16{});
    case GRAFT_I32:
      return f(std::int32_t{});
    default:
      throw Refusal{std::string("copy: no copies of ") + gb::dtype_name(dtype)};
  }
}

bool vector_type(std::uint32_t dtype, Type& type) {
  type = dtype == GRAFT_BF16 ? kBf16 : dtype == GRAFT_F16 ? kF16 : kF32;
  return dtype == GRAFT_F32 || dtype == GRAFT_BF16 || dtype == GRAFT_F16;
}

template <typename X, typename Y>
void copy_runs(const gb::Loop<2>& loop, const void* from, void* to, bool accumulate,
               std::int64_t first, std::int64_t last) {
  const X* x = static_cast<const X*>(from);
  Y* y = static_cast<Y*>(to);
  gb::for_runs(loop, first, last, [&](const auto& at, std::int64_t n, const auto& step) {
    if constexpr (std::is_same_v<X, Y>) {
      if (!accumulate) {
        if (step[0] == 1 && step[1] == 1)
          std::memcpy(y + at[1], x + at[0], static_cast<std::size_t>(n) * sizeof(X));
        else
          for (std::int64_t j = 0; j < n; ++j) y[at[1] + j * step[1]] = x[at[0] + j * step[0]];
        return;
      }
    }
    for (std::int64_t j = 0; j < n; ++j) {
      Y& out = y[at[1] + j * step[1]];
      const double value = gb::to_double(x[at[0] + j * step[0]]);
      out = gb::from_double<Y>(accumulate ? gb::to_double(out) + value : value);
    }
  });
}

}  // namespace

void copy_view(const graft_device& device, const graft_view& x, const graft_view& y,
               bool accumulate) {
  require(gb::same_shape(x, y), "copy: x and y differ in shape");
  const gb::Loop<2> loop = gb::make_loop<2>({&y, &x});
  gb::Loop<2> swapped = loop;
  for (auto& strides : swapped.stride) std::swap(strides[0], strides[1]);
  Type from, to;
  const auto& step = swapped.run_strides();
  const bool vectors = vector_type(x.dtype, from) && vector_type(y.dtype, to);
  if (vectors && (accumulate || x.dtype != y.dtype) && step[0] == 1 && step[1] == 1) {
    ElementCall c = {};
    c.threads = device.threads;
    c.nest = nest_of(swapped, swapped.ndim - 1);
    c.length = swapped.run_length();
    c.data[0] = x.data;
    c.data[1] = y.data;
    c.step[0] = c.step[1] = 1;
    device.isa->convert(&c, from, to, accumulate);
    return;
  }
  // One long run is cut, so that every thread has a part.
  const std::int64_t n = swapped.run_length(), piece = 65536;
  if (swapped.ndim == 1 && n > piece) {
    swapped.ndim = 2;
    swapped.extent[1] = piece;
    swapped.extent[0] = n / piece;
    swapped.stride[1] = swapped.stride[0];
    for (auto& stride : swapped.stride[0]) stride *= piece;
  }
  const std::int64_t runs = swapped.outer(), done = runs * swapped.run_length();
  with_copy_type(x.dtype, [&](auto a) {
    with_copy_type(y.dtype, [&](auto b) {
      using X = decltype(a);
      using Y = decltype(b);
      [[maybe_unused]] const int threads = done > 16384 ? device.threads : 1;
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static)
#endif
      for (std::int64_t r = 0; r < runs; ++r)
        copy_runs<X, Y>(swapped, x.data, y.data, accumulate, r, r + 1);
      if (done < n) {  // what is left of the long run
        gb::Loop<2> rest = loop;
        for (auto& strides : rest.stride) std::swap(strides[0], strides[1]);
        const auto& steps = rest.run_strides();
        rest.extent[0] = n - done;
        copy_runs<X, Y>(rest, static_cast<const X*>(x.data) + done * steps[0],
                        static_cast<Y*>(y.data) + done * steps[1], accumulate, 0, 1);
      }
    });
  });
}

void copy(Call& call) {
  if (call.args.in[0].quant) return copy_quantized(call);
  copy_view(call.device, call.args.in[0], call.args.out[0], call.accumulates());
}

void fill(Call& call) {
  const graft_view& y = call.args.out[0];
  const double value = call.real("value");
  // A view of one value, walked with strides of 0.
  union {
    float f32;
    gb::Bf16 bf16;
    std::int32_t i32;
    double f64;
    gb::F16 f16;
  } one = {};
  with_copy_type(y.dtype, [&](auto t) {
    const auto v = gb::from_double<decltype(t)>(value);
    std::memcpy(&one, &v, sizeof v);
  });
  graft_view x = y;
  x.data = &one;
  for (auto& stride : x.stride) stride = 0;
  copy_view(call.device, x, y, false);
}

// ---- arithmetic -------------------------------------------------------------------------------

namespace {

ElementCall typed(Call& call, std::initializer_list<const graft_view*> views) {
  ElementCall c = elements_of(call, views);
  c.type = float_type(**views.begin());
  for (const graft_view* view : views)
    require(view->dtype == (*views.begin())->dtype, "operands differ in dtype");
  return c;
}

void binary(Call& call, Binary op) {
  const auto& args = call.args;
  const ElementCall c = typed(call, {&args.in[0], &args.in[1], &args.out[0]});
  call.isa().binary(&c, op);
}

}  // namespace

void add(Call& call) {
  binary(call, Binary::kAdd);
}
void sub(Call& call) {
  binary(call, Binary::kSub);
}
void mul(Call& call) {
  binary(call, Binary::kMul);
}
void div(Call& call) {
  binary(call, Binary::kDiv);
}

void affine(Call& call) {
  const ElementCall c = typed(call, {&call.args.in[0], &call.args.out[0]});
  call.isa().affine(&c, static_cast<float>(call.real("mul", 1)),
                    static_cast<float>(call.real("add")));
}

void act(Call& call) {
  const ElementCall c = typed(call, {&call.args.in[0], &call.args.out[0]});
  const auto kind = static_cast<std::int32_t>(call.integer("kind"));
  if (!call.isa().act(&c, kind)) throw Refusal{"act: kind " + std::to_string(kind)};
}

void act_bwd(Call& call) {
  const auto& args = call.args;
  const ElementCall c = typed(call, {&args.in[0], &args.in[1], &args.out[0]});
  const auto kind = static_cast<std::int32_t>(call.integer("kind"));
  if (!call.isa().act_bwd(&c, kind)) throw Refusal{"act_bwd: kind " + std::to_string(kind)};
}

void swiglu(Call& call) {
  const auto& args = call.args;
  const ElementCall c = typed(call, {&args.in[0], &args.in[1], &args.out[0]});
  call.isa().swiglu(&c);
}

void swiglu_bwd(Call& call) {
  const auto& args = call.args;
  const ElementCall c =
      typed(call, {&args.in[0], &args.in[1], &args.in[2], &args.out[0], &args.out[1]});
  call.isa().swiglu_bwd(&c);
}

}  // namespace graft_cpu
