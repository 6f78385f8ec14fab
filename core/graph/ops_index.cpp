// Ops that pick rows by index: gather, scatter_add, write_rows.
#include <graft/plugin.h>

#include "core/base/error.hpp"
#include "core/graph/recorder.hpp"
#include "core/graph/shape_rules.hpp"

namespace graft::core {
namespace {

void require_ids(const InferArgs& a, std::size_t index) {
  require_dtype(a, index, GRAFT_I32, "ids");
  require_rank(a, index, 1, "ids");
}

std::vector<TypeShape> infer_gather(const InferArgs& a) {
  require_ids(a, 1);
  Shape y = a.in[0].shape;
  require(a, !y.empty(), "the table needs an axis.");
  y[0] = a.in[1].shape[0];
  return {{a.in[0].dtype, y}};
}

// dtable = the rows of dy summed by id.
std::vector<ValueId> derive_gather(Recorder& r, const Node& n, std::span<const ValueId> d,
                                   const std::vector<bool>& wanted) {
  if (!wanted[0]) return {kNone, kNone};
  const std::uint32_t dtype = r.value(n.in[0]).trainable && r.dtype(n.in[0]) != GRAFT_F64
                                  ? std::uint32_t{GRAFT_F32}
                                  : r.dtype(n.in[0]);
  Params params;
  params.shape = r.shape(n.in[0]);
  params.attrs = {{"dtype", static_cast<std::int64_t>(dtype), 0}};
  return {r.record(*find_op("scatter_add"), {d[0], n.in[1]}, std::move(params)).at(0), kNone};
}

std::vector<TypeShape> infer_scatter_add(const InferArgs& a) {
  require_ids(a, 1);
  const Shape &x = a.in[0].shape, &y = a.params.shape;
  require(a, x.size() == y.size() && x[0] == a.in[1].shape[0], "needs a row for each id.");
  for (std::size_t i = 1; i < x.size(); ++i) {
    require(a, x[i] == y[i], "rows must be as wide as the table's.");
  }
  return {{static_cast<std::uint32_t>(attr(a.params, "dtype").i), y}};
}

// y = rows summed by id:  dx = dy[ids].
std::vector<ValueId> derive_scatter_add(Recorder& r, const Node& n, std::span<const ValueId> d,
                                        const std::vector<bool>&) {
  return {r.cast(r.one("gather", {d[0], n.in[1]}), r.dtype(n.in[0])), kNone};
}

std::vector<TypeShape> infer_write_rows(const InferArgs& a) {
  require_ids(a, 1);
  require(a, a.in[0].dtype == a.in[2].dtype, "rows and table must have one dtype.");
  require(a, a.in[0].shape.size() == a.in[2].shape.size() && a.in[0].shape[0] == a.in[1].shape[0],
          "needs a row for each id.");
  return {};
}

}  // namespace

std::vector<OpDef> index_ops() {
  OpDef gather;
  gather.name = "gather";
  gather.kernel = "gather/1";
  gather.min_inputs = gather.max_inputs = 2;
  gather.traits.cheap = gather.traits.tiles = true;
  gather.infer = infer_gather;
  gather.derive = derive_gather;

  OpDef scatter;
  scatter.name = "scatter_add";
  scatter.kernel = "scatter_add/1";
  scatter.attrs = {{"dtype", false, 0, true}};
  scatter.min_inputs = scatter.max_inputs = 2;
  scatter.traits.accumulates = scatter.traits.tiles = true;
  scatter.infer = infer_scatter_add;
  scatter.derive = derive_scatter_add;

  OpDef write;
  write.name = "write_rows";
  write.kernel = "write_rows/1";
  write.min_inputs = write.max_inputs = 3;
  write.written_from = 2;
  write.infer = infer_write_rows;
  return {gather, scatter, write};
}

}  // namespace graft::core
