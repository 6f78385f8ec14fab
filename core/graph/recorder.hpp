// Writes a recording, op by op.
#pragma once
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.hpp"
#include "core/graph/op.hpp"

namespace graft::core {

/// Records into a graph. The methods below check shapes and dtypes and throw GRAFT_E_INVALID with
/// the site and the shapes when they refuse. Flags and kinds are those of graft/plugin.h.
class Recorder {
 public:
  explicit Recorder(Graph& graph) : graph_(graph) {}

  Graph& graph() { return graph_; }
  const Value& value(ValueId id) const { return graph_[id]; }
  /// A copy: recording moves values.
  Shape shape(ValueId id) const { return graph_[id].shape; }
  std::uint32_t dtype(ValueId id) const { return graph_[id].dtype; }

  /// Context of the ops recorded from now on.
  void at(std::string site, std::int32_t layer) {
    site_ = std::move(site);
    layer_ = layer;
  }
  const std::string& site() const { return site_; }
  std::int32_t layer() const { return layer_; }
  void direction(Direction d) { direction_ = d; }

  /// Evaluation recordings leave dropout out.
  void training(bool on) { training_ = on; }
  bool training() const { return training_; }

  /// Ops recorded from now on see the rows of one group (-1: all rows): dropout draws what it would
  /// if the group were alone, from inputs that end in ".<group>".
  void group(std::int32_t g) { group_ = g; }

  // -- leaves. The same (role, slot) or input name gives the same value.
  ValueId leaf(Role role, std::int32_t slot, std::uint32_t dtype, Shape shape, std::string name,
               bool trainable = false, std::shared_ptr<const graft_quant> quant = nullptr);
  ValueId input(std::string_view name, std::uint32_t dtype, Shape shape);
  /// A [1] input, written before each run: strength, lr, ...
  ValueId scalar(std::string_view name, std::uint32_t dtype) { return input(name, dtype, {1}); }

  // -- ops
  std::vector<ValueId> record(std::string_view op, std::vector<ValueId> in,
                              std::initializer_list<Attr> attrs = {});
  std::vector<ValueId> record(const OpDef& op, std::vector<ValueId> in, Params params);
  ValueId one(std::string_view op, std::vector<ValueId> in,
              std::initializer_list<Attr> attrs = {}) {
    return record(op, std::move(in), attrs).at(0);
  }

  ValueId add(ValueId a, ValueId b) { return one("add", {a, b}); }
  ValueId sub(ValueId a, ValueId b) { return one("sub", {a, b}); }
  ValueId mul(ValueId a, ValueId b) { return one("mul", {a, b}); }
  ValueId div(ValueId a, ValueId b) { return one("div", {a, b}); }
  ValueId affine(ValueId x, double mul, double add);
  ValueId act(ValueId x, std::int32_t kind) { return one("act", {x}, {{"kind", kind, 0}}); }
  ValueId cast(ValueId x, std::uint32_t dtype);
  ValueId fill(std::uint32_t dtype, Shape shape, double value);
  /// flags: GRAFT_TRANS_A, GRAFT_TRANS_B. bias [n] or kNone. out_dtype 0: as the inputs.
  ValueId matmul(ValueId a, ValueId b, std::uint32_t flags = 0, ValueId bias = kNone,
                 std::uint32_t out_dtype = 0);
  ValueId sum(ValueId x, std::int32_t axis, bool keep);
  /// The weight is offset + weight.
  ValueId norm(ValueId x, ValueId weight, ValueId bias, std::int32_t kind, double eps,
               double offset = 0);
  ValueId reshape(ValueId x, Shape shape);
  ValueId permute(ValueId x, const std::vector<std::int32_t>& axes);
  ValueId expand(ValueId x, Shape shape);
  ValueId slice(ValueId x, std::int32_t axis, std::int64_t from, std::int64_t to);
  ValueId concat(const std::vector<ValueId>& parts, std::int32_t axis);
  /// The rows of x by group: rows[g] of them, one group after the other.
  std::vector<ValueId> split_rows(ValueId x, const Shape& rows);
  /// Parts one after the other; together they have `rows` rows.
  ValueId join_rows(const std::vector<ValueId>& parts, Extent rows);
  ValueId dropout(ValueId x, double p);
  /// dst (a kBuffer or kParameter leaf) = src, or += src.
  void assign(ValueId src, ValueId dst, bool accumulate);

  /// Sums `x` down to `shape`, the reverse of broadcasting.
  ValueId reduce_to(ValueId x, const Shape& shape);

  /// Nodes recorded after this call go to `list` instead of the graph's end, until it returns.
  void redirect(std::vector<Node>* list) { redirect_ = list; }

 private:
  ValueId add_value(Value value);

  Graph& graph_;
  std::string site_;
  std::int32_t layer_ = -1;
  Direction direction_ = Direction::kForward;
  bool training_ = true;
  std::int32_t group_ = -1;
  std::map<std::int32_t, std::int64_t> dropouts_;  // by group
  std::vector<Node>* redirect_ = nullptr;
  std::map<std::pair<int, std::int32_t>, ValueId> leaves_;
  std::map<std::string, ValueId, std::less<>> inputs_;
};

}  // namespace graft::core
