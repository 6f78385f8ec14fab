// Rows picked and placed by their numbers.
#include <algorithm>

#include "plugins/backends/cpu/call.hpp"
#include "plugins/backends/cpu/quant.hpp"

namespace graft_cpu {

namespace {

const std::int32_t* checked_ids(const graft_view& ids, const graft_view& x,
                                const graft_view& table) {
  require(ids.dtype == GRAFT_I32, "ids are not I32");
  require(x.ndim >= 1 && x.ndim == table.ndim, "x and table differ in rank");
  require(gb::elements(ids) == x.shape[0], "x and ids differ in their number of rows");
  const auto* values = gb::data<const std::int32_t>(ids);
  for (std::int64_t i = 0; i < x.shape[0]; ++i)
    if (values[i] < 0 || values[i] >= table.shape[0])
      throw Refusal{"ids[" + std::to_string(i) + "] is " + std::to_string(values[i]) +
                    ", the table has " + std::to_string(table.shape[0]) + " rows"};
  return values;
}

/// Rows as dense stretches: [rows, cols] with one stride, or not.
bool flat_rows(const graft_view& view) {
  graft_view row = view;
  row.ndim -= 1;
  for (std::int32_t d = 0; d < row.ndim; ++d) {
    row.shape[d] = view.shape[d + 1];
    row.stride[d] = view.stride[d + 1];
  }
  return gb::is_dense(row);
}

std::int64_t row_elements(const graft_view& view) {
  std::int64_t n = 1;
  for (std::int32_t d = 1; d < view.ndim; ++d) n *= view.shape[d];
  return n;
}

/// Copies rows from[i] to rows to[i] (NULL: row i), one after the other in the order of i.
void copy_rows(Call& call, const graft_view& x, const std::int32_t* from, const graft_view& y,
               const std::int32_t* to, std::int64_t n, bool in_any_order) {
  require(x.dtype == y.dtype, "x and table differ in dtype");
  const std::size_t bytes = gb::dtype_bytes(x.dtype);
  const auto at = [&](const graft_view& view, const std::int32_t* ids, std::int64_t i) {
    return static_cast<char*>(view.data) +
           (ids ? ids[i] : i) * view.stride[0] * static_cast<std::int64_t>(bytes);
  };
  const std::size_t row = static_cast<std::size_t>(row_elements(x)) * bytes;
  if (flat_rows(x) && flat_rows(y)) {
    [[maybe_unused]] const int threads =
        in_any_order && static_cast<std::size_t>(n) * row > 65536 ? call.device.threads : 1;
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static)
#endif
    for (std::int64_t i = 0; i < n; ++i)
      if (row) std::memcpy(at(y, to, i), at(x, from, i), row);
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    graft_view a = x, b = y;
    a.shape[0] = b.shape[0] = 1;
    a.data = at(x, from, i);
    b.data = at(y, to, i);
    copy_view(call.device, a, b, false);
  }
}

}  // namespace

void gather(Call& call) {
  const graft_view &table = call.args.in[0], &y = call.args.out[0], ids = call.in_dense(1);
  const std::int32_t* from = checked_ids(ids, y, table);
  if (table.quant) {
    const Quantized x(table);
    require(!x.transposed && y.shape[1] == x.blocks->columns, "gather: the table has other rows");
    ExpandCall e = x.all(call.device);
    e.ids = from;
    e.rows = y.shape[0];
    return expand_to(call, e, y, false);
  }
  copy_rows(call, table, from, y, nullptr, y.shape[0], true);
}

void write_rows(Call& call) {
  const graft_view &x = call.args.in[0], &table = call.args.out[0], ids = call.in_dense(1);
  const std::int32_t* to = checked_ids(ids, x, table);
  const bool rising = std::is_sorted(to, to + x.shape[0], std::less_equal<>());
  copy_rows(call, x, nullptr, table, to, x.shape[0], rising);
}

void scatter_add(Call& call) {
  const bool kept = call.accumulates();
  graft_view x = call.args.in[0];
  if (!flat_rows(x)) x = call.in_dense(0);
  graft_view table = call.args.out[0];
  if (!flat_rows(table)) table = call.out_dense(0, kept);
  const graft_view ids = call.in_dense(1);
  const std::int32_t* values = checked_ids(ids, x, table);
  const std::int64_t n = x.shape[0];

  // Rows of one id are neighbours in `order`, in their own order.
  std::vector<std::int64_t> order(static_cast<std::size_t>(n)), begin, target;
  for (std::int64_t i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return values[a] < values[b]; });
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t id = values[order[static_cast<std::size_t>(i)]];
    if (!target.empty() && target.back() == id) continue;
    begin.push_back(i);
    target.push_back(id);
  }
  begin.push_back(n);

  if (!kept) {
    graft_view zero = table;
    float nothing = 0;
    zero.data = &nothing;
    for (auto& stride : zero.stride) stride = 0;
    copy_view(call.device, zero, table, false);
  }
  ScatterCall c = {};
  c.threads = call.device.threads;
  c.type = float_type(x);
  c.out_type = float_type(table);
  c.groups = static_cast<std::int64_t>(target.size());
  c.cols = row_elements(x);
  c.x_stride = x.stride[0];
  c.out_stride = table.stride[0];
  c.begin = begin.data();
  c.order = order.data();
  c.target = target.data();
  c.x = x.data;
  c.out = table.data;
  c.accumulate = kept;
  call.isa().scatter_add(&c);
}

}  // namespace graft_cpu
