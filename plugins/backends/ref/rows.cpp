// Rows picked and placed by their numbers. A table is never read or written beyond the rows that
// are named.
#include <algorithm>
#include <numeric>
#include <string>

#include "kernels.hpp"

namespace graft::ref {
namespace {

std::vector<std::int32_t> row_ids(const graft_view& ids, const graft_view& x,
                                  const graft_view& table) {
  const std::vector<std::int32_t> rows = load_ids(ids);
  require(x.ndim >= 1 && x.ndim == table.ndim, "x and table have different ranks");
  require(x.shape[0] == ids.shape[0], "x and ids have different numbers of rows");
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i] < 0 || rows[i] >= table.shape[0])
      throw std::invalid_argument("ids[" + std::to_string(i) + "] is " + std::to_string(rows[i]) +
                                  ", the table has " + std::to_string(table.shape[0]) + " rows");
  return rows;
}

}  // namespace

void gather(const graft_kernel_args& args) {
  const Readable rows(args.in[0]);
  const graft_view &table = rows.view, &y = args.out[0];
  const auto ids = row_ids(args.in[1], y, table);
  for (std::size_t i = 0; i < ids.size(); ++i)
    store(load(row_of(table, ids[i])), row_of(y, static_cast<std::int64_t>(i)));
}

void scatter_add(const graft_kernel_args& args) {
  const graft_view &x = args.in[0], &table = args.out[0];
  const auto ids = row_ids(args.in[1], x, table);
  const bool accumulate = attr_i(&args, "accumulate");
  if (!accumulate) store(Values(static_cast<std::size_t>(elements(table))), table);
  // Rows of one id together, in their own order: one f64 sum for each, rounded once.
  std::vector<std::int64_t> order(ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return ids[a] < ids[b]; });
  Values sum, row;
  for (std::size_t i = 0; i < order.size(); ++i) {
    row = load(row_of(x, order[i]));
    const bool first = i == 0 || ids[order[i - 1]] != ids[order[i]];
    const bool last = i + 1 == order.size() || ids[order[i + 1]] != ids[order[i]];
    if (first) sum.assign(row.size(), 0);
    for (std::size_t j = 0; j < row.size(); ++j) sum[j] += row[j];
    if (last) store(sum, row_of(table, ids[order[i]]), accumulate);
  }
}

void write_rows(const graft_kernel_args& args) {
  const graft_view &x = args.in[0], &table = args.out[0];
  const auto ids = row_ids(args.in[1], x, table);
  for (std::size_t i = 0; i < ids.size(); ++i)
    store(load(row_of(x, static_cast<std::int64_t>(i))), row_of(table, ids[i]));
}

}  // namespace graft::ref
