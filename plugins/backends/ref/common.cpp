#include "common.hpp"

#include <graft/quant.hpp>

namespace graft::ref {
namespace {

template <typename F>
void with_any_type(std::uint32_t dtype, F&& f) {
  switch (dtype) {
    case GRAFT_F64:
      return f(double{});
    case GRAFT_F32:
      return f(float{});
    case GRAFT_F16:
      return f(F16{});
    case GRAFT_BF16:
      return f(Bf16{});
    case GRAFT_I32:
      return f(std::int32_t{});
    case GRAFT_U8:
      return f(std::uint8_t{});
    default:
      throw std::invalid_argument("an operand's dtype is not f64, f32, f16, bf16, i32 or u8");
  }
}

}  // namespace

void load_to(const graft_view& view, double* values) {
  require(!view.quant, "an operand is quantized");
  with_any_type(view.dtype, [&](auto type) {
    using T = decltype(type);
    const T* from = data<const T>(view);
    const auto loop = make_loop<1>({&view});
    for_runs(loop, 0, loop.outer(), [&](const auto& at, std::int64_t n, const auto& step) {
      for (std::int64_t j = 0; j < n; ++j) *values++ = to_double(from[at[0] + j * step[0]]);
    });
  });
}

Values load(const graft_view& view) {
  Values values(static_cast<std::size_t>(elements(view)));
  load_to(view, values.data());
  return values;
}

void store(const double* values, const graft_view& view, bool accumulate) {
  require(!view.quant, "an output is quantized");
  with_any_type(view.dtype, [&](auto type) {
    using T = decltype(type);
    T* to = data<T>(view);
    const auto loop = make_loop<1>({&view});
    for_runs(loop, 0, loop.outer(), [&](const auto& at, std::int64_t n, const auto& step) {
      for (std::int64_t j = 0; j < n; ++j) {
        T& out = to[at[0] + j * step[0]];
        const double value = *values++;
        out = from_double<T>(accumulate ? to_double(out) + value : value);
      }
    });
  });
}

Readable::Readable(const graft_view& given) : view(given) {
  const graft_quant* q = given.quant;
  if (!q) return;
  require(given.ndim == 2 && quant::consistent(q), "a quantized operand is of no known format");
  const bool turned = quant::is_transposed(q, given.shape, given.stride);
  require(given.shape[turned] == q->rows && given.shape[!turned] == q->columns,
          "a quantized operand has another shape than its blocks");
  values.resize(static_cast<std::size_t>(q->rows * q->columns));
  std::vector<float> row(static_cast<std::size_t>(q->columns));
  const quant::Format format = quant::format_of(q->format);
  for (std::int64_t r = 0; r < q->rows; ++r) {
    quant::expand(q, format, r, 0, q->columns, row.data());
    std::copy(row.begin(), row.end(), values.begin() + r * q->columns);
  }
  view.quant = nullptr;
  view.data = values.data();
  view.dtype = GRAFT_F64;
}

graft_status reads_blocks(graft_device*, const graft_kernel_args* args) {
  for (std::uint32_t i = 0; i < args->n_in; ++i) {
    const graft_quant* q = args->in[i].quant;
    if (q && (args->in[i].ndim != 2 || !quant::consistent(q))) return GRAFT_UNSUPPORTED;
  }
  return GRAFT_OK;
}

std::vector<std::int32_t> load_ids(const graft_view& view) {
  require(view.dtype == GRAFT_I32 && view.ndim == 1, "ids, positions and lengths are I32 [n]");
  std::vector<std::int32_t> ids;
  ids.reserve(static_cast<std::size_t>(view.shape[0]));
  for (std::int64_t i = 0; i < view.shape[0]; ++i)
    ids.push_back(data<const std::int32_t>(view)[i * view.stride[0]]);
  return ids;
}

graft_view part_of(graft_view view, std::int32_t axis, std::int64_t from, std::int64_t count) {
  const std::int64_t offset = from * view.stride[axis];
  view.data =
      static_cast<char*>(view.data) + offset * static_cast<std::int64_t>(dtype_bytes(view.dtype));
  view.shape[axis] = count;
  return view;
}

graft_view row_of(const graft_view& view, std::int64_t row) {
  graft_view out = part_of(view, 0, row, 1);
  out.ndim = view.ndim - 1;
  for (std::int32_t d = 0; d < out.ndim; ++d) {
    out.shape[d] = view.shape[d + 1];
    out.stride[d] = view.stride[d + 1];
  }
  return out;
}

double round_to(std::uint32_t dtype, double value) {
  double rounded = value;
  with_any_type(dtype, [&](auto type) { rounded = to_double(from_double<decltype(type)>(value)); });
  return rounded;
}

}  // namespace graft::ref
