// Batched matrix products.
#include <algorithm>

#include "plugins/backends/cpu/call.hpp"
#include "plugins/backends/cpu/products.hpp"
#include "plugins/backends/cpu/quant.hpp"

namespace graft_cpu {

namespace {

/// The product of one batch element, without data.
GemmCall shapes_of(const graft_device& device, const graft_kernel_args& args, const graft_view& a,
                   const graft_view& b, const graft_view& c) {
  require(a.ndim >= 2 && b.ndim == a.ndim && c.ndim == a.ndim,
          "matmul: a, b and c differ in rank or have less than 2 axes");
  const std::int32_t r = a.ndim - 2;
  GemmCall g = {};
  g.threads = device.threads;
  g.m = a.shape[r];
  g.k = a.shape[r + 1];
  g.n = b.shape[r + 1];
  require(b.shape[r] == g.k && c.shape[r] == g.m && c.shape[r + 1] == g.n,
          "matmul: a [m, k], b [k, n] and c [m, n] do not fit");
  for (std::int32_t d = 0; d < r; ++d)
    require(a.shape[d] == c.shape[d] && b.shape[d] == c.shape[d], "matmul: leading axes differ");
  g.a_row = a.stride[r];
  g.a_col = a.stride[r + 1];
  g.b_row = b.stride[r];
  g.b_col = b.stride[r + 1];
  g.c_row = c.stride[r];
  g.c_col = 1;
  // Strides along an axis of one element say nothing.
  if (g.k == 1) g.a_col = g.b_row = 1;
  if (g.n == 1) g.b_col = 1;
  if (g.m == 1 && g.a_col != 1) g.a_row = 1;
  g.a_type = float_type(a);
  g.b_type = b.quant ? g.a_type : float_type(b);
  g.c_type = float_type(c);
  require(b.quant || a.dtype == b.dtype, "matmul: a and b differ in dtype");
  require(c.dtype == a.dtype || c.dtype == GRAFT_F32, "matmul: c is neither a's dtype nor F32");
  g.alpha = static_cast<float>(gb::attr_f(&args, "alpha", 1));
  return g;
}

std::int64_t batches_of(const graft_view& c) {
  std::int64_t n = 1;
  for (std::int32_t d = 0; d + 2 < c.ndim; ++d) n *= c.shape[d];
  return n;
}

/// Many small products: each is one thread's.
bool one_thread_each(const GemmCall& g, std::int64_t batches) {
  return batches > 1 && g.threads > 1 && g.m * g.n * g.k < (std::int64_t{1} << 21);
}

std::uint64_t bytes_of_one(const graft_device& device, GemmCall g) {
  g.threads = 1;
  return (device.isa->gemm_workspace(&g) + 255) / 256 * 256;
}

}  // namespace

std::uint64_t matmul_workspace(graft_device* device, const graft_kernel_args* args) {
  const GemmCall g = shapes_of(*device, *args, args->in[0], args->in[1], args->out[0]);
  if (args->in[1].quant) return quantized_matmul_workspace(*device, g, Quantized(args->in[1]));
  // Own kernels compute what oneDNN leaves, each at its time in the same memory. Should columns be
  // fewer than now, the product is small: both operands in panels take kSmall.
  constexpr std::uint64_t kSmall = std::uint64_t{1} << 20;
  const GemmCall rest = device->products->leaves(g);
  const std::uint64_t together =
      std::max(device->isa->gemm_workspace(&rest) + kSmall, device->products->scratch_bytes(g));
  if (!one_thread_each(g, batches_of(args->out[0]))) return together;
  const auto apart = static_cast<std::uint64_t>(g.threads) * bytes_of_one(*device, g);
  return together > apart ? together : apart;
}

void matmul(Call& call) {
  const graft_view &a = call.args.in[0], &b = call.args.in[1];
  const bool kept = call.accumulates();
  const graft_view c = call.out_rows(0, kept);
  GemmCall g = shapes_of(call.device, call.args, a, b, c);
  if (g.m == 0 || g.n == 0) return;
  graft_view bias = {};
  if (call.args.n_in > 2) {
    bias = call.in_dense(2);
    require(gb::elements(bias) == g.n && bias.dtype == a.dtype,
            "matmul: bias is not [n] of a's dtype");
  }
  g.bias = bias.data;
  g.accumulate = kept;
  if (b.quant) {
    g.a = a.data;
    g.c = c.data;
    return quantized_matmul(call, g, Quantized(b));
  }

  const auto loop = gb::make_loop<3>({&c, &a, &b}, c.ndim - 2);
  const std::int64_t batches = batches_of(c);
  const Nest nest = nest_of(loop, loop.ndim);
  const auto element = [&](std::int64_t i) {
    GemmCall one = g;
    std::int64_t at[3] = {};
    for (std::int32_t d = nest.ndim - 1; d >= 0; --d) {
      for (int v = 0; v < 3; ++v) at[v] += i % nest.extent[d] * nest.stride[d][v];
      i /= nest.extent[d];
    }
    const auto moved = [](void* data, std::int64_t elements, Type type) -> void* {
      return static_cast<char*>(data) + elements * (type == kF32 ? 4 : 2);
    };
    one.c = moved(c.data, at[0], g.c_type);
    one.a = moved(a.data, at[1], g.a_type);
    one.b = moved(b.data, at[2], g.b_type);
    return one;
  };

  if (one_thread_each(g, batches)) {
    const std::uint64_t bytes = bytes_of_one(call.device, g);
    auto* workspace =
        static_cast<char*>(call.workspace(static_cast<std::uint64_t>(g.threads) * bytes));
    const std::int64_t threads = g.threads;
#ifdef _OPENMP
#pragma omp parallel for num_threads(g.threads) schedule(static)
#endif
    for (std::int64_t part = 0; part < threads; ++part)
      for (std::int64_t i = batches * part / threads; i < batches * (part + 1) / threads; ++i) {
        GemmCall one = element(i);
        one.threads = 1;
        one.workspace = workspace + static_cast<std::uint64_t>(part) * bytes;
        call.isa().gemm(&one);
      }
    return;
  }
  const auto own = [&](const GemmCall& part) {
    GemmCall one = part;
    one.workspace = call.workspace(call.isa().gemm_workspace(&one));
    call.isa().gemm(&one);
  };
  Products& products = *call.device.products;
  const bool by_onednn = products.takes(g);
  for (std::int64_t i = 0; i < batches; ++i) {
    if (by_onednn)
      products.run(
          element(i), [&](std::uint64_t bytes) { return call.workspace(bytes); }, own);
    else
      own(element(i));
  }
}

}  // namespace graft_cpu
