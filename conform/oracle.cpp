#include "oracle.hpp"

#include <stdexcept>

#include "plugins/backends/ref/kernels.hpp"

namespace graft::conform {

std::vector<Values> reference(std::string_view kernel, const Problem& problem,
                              Precision precision) {
  const auto dtype = [&](std::uint32_t given, bool keeps) -> std::uint32_t {
    if (precision == Precision::kAsGiven || keeps || given == GRAFT_I32 || given == GRAFT_U8)
      return given;
    return GRAFT_F64;
  };
  std::vector<Tensor> in, out;
  for (const Operand& x : problem.in)
    in.emplace_back(dtype(x.dtype, x.keeps_dtype), x.shape, Layout{}, false).reset(x.values);
  for (const Result& y : problem.out)
    out.emplace_back(dtype(y.dtype, false), y.shape, Layout{}, false).reset(y.before);

  std::vector<graft_view> in_views, out_views;
  for (Tensor& x : in) in_views.push_back(x.view(x.bytes(), 1));
  for (Tensor& y : out) out_views.push_back(y.view(y.bytes(), 1));
  graft_kernel_args args = {};
  args.struct_size = sizeof args;
  args.n_in = static_cast<std::uint32_t>(in.size());
  args.n_out = static_cast<std::uint32_t>(out.size());
  args.n_attr = static_cast<std::uint32_t>(problem.attrs.size());
  args.in = in_views.data();
  args.out = out_views.data();
  args.attr = problem.attrs.data();

  const ref::KernelTable table = ref::kernel_table();
  for (std::uint32_t i = 0; i < table.count; ++i) {
    if (table.kernels[i].name != kernel) continue;
    graft_error error = {};
    if (table.kernels[i].run(nullptr, &args, &error) != GRAFT_OK)
      throw std::logic_error("the reference refuses the problem '" + problem.what +
                             "': " + error.message);
    std::vector<Values> results;
    for (const Tensor& y : out) results.push_back(y.read());
    return results;
  }
  throw std::logic_error("the reference has no such kernel");
}

bool is_required(std::string_view kernel) {
  const ref::KernelTable table = ref::kernel_table();
  for (std::uint32_t i = 0; i < table.required; ++i)
    if (table.kernels[i].name == kernel) return true;
  return false;
}

}  // namespace graft::conform
