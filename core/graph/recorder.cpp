#include "core/graph/recorder.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

std::string who(const OpDef& op, const std::string& site) {
  return site.empty() ? std::string(op.name) : cat(op.name, " at '", site, "'");
}

/// The given attributes in the order of the definition, defaults filled in.
std::vector<Attr> complete(const OpDef& op, const std::vector<Attr>& given,
                           const std::string& who) {
  std::vector<Attr> result;
  for (const AttrDef& def : op.attrs) {
    Attr value{def.name, 0, 0};
    (def.real ? value.f : value.f) = def.real ? def.fallback : 0;
    if (!def.real) value.i = static_cast<std::int64_t>(def.fallback);
    bool found = false;
    for (const Attr& a : given) {
      if (std::strcmp(a.name, def.name) != 0) continue;
      value.i = a.i;
      value.f = a.f;
      found = true;
    }
    if (!found && def.required) {
      throw Error(GRAFT_E_INVALID, cat(who, ": needs the attribute '", def.name, "'."));
    }
    result.push_back(value);
  }
  for (const Attr& a : given) {
    const bool known = std::any_of(op.attrs.begin(), op.attrs.end(), [&](const AttrDef& def) {
      return std::strcmp(def.name, a.name) == 0;
    });
    if (!known) throw Error(GRAFT_E_INVALID, cat(who, ": has no attribute '", a.name, "'."));
  }
  return result;
}

std::size_t axis_index(const Recorder& r, ValueId x, std::int32_t axis, const char* op) {
  const auto rank = static_cast<std::int32_t>(r.shape(x).size());
  const std::int32_t index = axis < 0 ? axis + rank : axis;
  if (index < 0 || index >= rank) {
    throw Error(GRAFT_E_INVALID, cat(op, " at '", r.site(), "': axis ", axis, " does not exist in ",
                                     to_string(r.shape(x)), "."));
  }
  return static_cast<std::size_t>(index);
}

}  // namespace

ValueId Recorder::add_value(Value value) {
  graph_.values.push_back(std::move(value));
  return static_cast<ValueId>(graph_.values.size() - 1);
}

ValueId Recorder::leaf(Role role, std::int32_t slot, std::uint32_t dtype, Shape shape,
                       std::string name, bool trainable, std::shared_ptr<const graft_quant> quant) {
  const auto key = std::make_pair(static_cast<int>(role), slot);
  const auto found = leaves_.find(key);
  if (found != leaves_.end()) return found->second;
  Value value;
  value.dtype = dtype;
  value.shape = std::move(shape);
  value.role = role;
  value.slot = slot;
  value.name = std::move(name);
  value.trainable = trainable;
  value.quant = std::move(quant);
  return leaves_[key] = add_value(std::move(value));
}

ValueId Recorder::input(std::string_view name, std::uint32_t dtype, Shape shape) {
  const auto found = inputs_.find(name);
  if (found != inputs_.end()) return found->second;
  Value value;
  value.dtype = dtype;
  value.shape = std::move(shape);
  value.role = Role::kInput;
  value.slot = static_cast<std::int32_t>(graph_.inputs.size());
  value.name = std::string(name);
  const ValueId id = add_value(std::move(value));
  graph_.inputs.push_back(id);
  return inputs_[std::string(name)] = id;
}

std::vector<ValueId> Recorder::record(std::string_view op, std::vector<ValueId> in,
                                      std::initializer_list<Attr> attrs) {
  const OpDef* def = find_op(op);
  if (!def) throw Error(GRAFT_E_NOT_FOUND, cat("there is no op named '", op, "'."));
  return record(*def, std::move(in), Params{attrs, {}, {}});
}

std::vector<ValueId> Recorder::record(const OpDef& op, std::vector<ValueId> in, Params params) {
  const std::string name = who(op, site_);
  const auto n = static_cast<std::int32_t>(in.size());
  if (n < op.min_inputs || n > op.max_inputs) {
    throw Error(GRAFT_E_INVALID, cat(name, ": takes ", op.min_inputs, " to ", op.max_inputs,
                                     " inputs, not ", n, "."));
  }
  params.attrs = complete(op, params.attrs, name);
  std::vector<TypeShape> types;
  for (const ValueId id : in) types.push_back({dtype(id), shape(id)});
  const std::vector<TypeShape> outputs = op.infer(InferArgs{types, params, name});

  Node node;
  node.op = &op;
  node.in = std::move(in);
  node.params = std::move(params);
  node.direction = direction_;
  node.layer = layer_;
  node.site = site_;
  for (const TypeShape& t : outputs) {
    Value value;
    value.dtype = t.dtype;
    value.shape = t.shape;
    value.name = site_;
    node.out.push_back(add_value(std::move(value)));
  }
  const std::vector<ValueId> result = node.out;
  (redirect_ ? *redirect_ : graph_.nodes).push_back(std::move(node));
  return result;
}

ValueId Recorder::affine(ValueId x, double mul, double add) {
  if (mul == 1 && add == 0) return x;
  return one("affine", {x}, {{"mul", 0, mul}, {"add", 0, add}});
}

ValueId Recorder::cast(ValueId x, std::uint32_t to) {
  if (dtype(x) == to) return x;
  return one("cast", {x}, {{"dtype", static_cast<std::int64_t>(to), 0}});
}

ValueId Recorder::fill(std::uint32_t to, Shape shape, double value) {
  Params params;
  params.attrs = {{"dtype", static_cast<std::int64_t>(to), 0}, {"value", 0, value}};
  params.shape = std::move(shape);
  return record(*find_op("fill"), {}, std::move(params)).at(0);
}

ValueId Recorder::matmul(ValueId a, ValueId b, std::uint32_t flags, ValueId bias,
                         std::uint32_t out_dtype) {
  std::vector<ValueId> in = {a, b};
  if (bias != kNone) in.push_back(bias);
  return one("matmul", std::move(in),
             {{"flags", static_cast<std::int64_t>(flags), 0},
              {"dtype", static_cast<std::int64_t>(out_dtype), 0}});
}

ValueId Recorder::sum(ValueId x, std::int32_t axis, bool keep) {
  const std::size_t at = axis_index(*this, x, axis, "sum");
  Shape kept = shape(x);
  kept[at] = 1;
  const ValueId y = reduce_to(x, kept);
  if (keep) return y;
  Shape dropped = kept;
  dropped.erase(dropped.begin() + static_cast<std::ptrdiff_t>(at));
  if (dropped.empty()) dropped.push_back(1);
  return reshape(y, dropped);
}

ValueId Recorder::norm(ValueId x, ValueId weight, ValueId bias, std::int32_t kind, double eps,
                       double offset) {
  std::vector<ValueId> in = {x, weight};
  if (bias != kNone) in.push_back(bias);
  return one("norm", std::move(in), {{"kind", kind, 0}, {"eps", 0, eps}, {"offset", 0, offset}});
}

ValueId Recorder::reshape(ValueId x, Shape to) {
  if (shape(x) == to) return x;
  Params params;
  params.shape = std::move(to);
  return record(*find_op("reshape"), {x}, std::move(params)).at(0);
}

ValueId Recorder::permute(ValueId x, const std::vector<std::int32_t>& axes) {
  Params params;
  params.axes = axes;
  return record(*find_op("permute"), {x}, std::move(params)).at(0);
}

ValueId Recorder::expand(ValueId x, Shape to) {
  if (shape(x) == to) return x;
  Params params;
  params.shape = std::move(to);
  return record(*find_op("expand"), {x}, std::move(params)).at(0);
}

ValueId Recorder::slice(ValueId x, std::int32_t axis, std::int64_t from, std::int64_t to) {
  const auto at = static_cast<std::int64_t>(axis_index(*this, x, axis, "slice"));
  return one("slice", {x}, {{"axis", at, 0}, {"from", from, 0}, {"to", to, 0}});
}

ValueId Recorder::concat(const std::vector<ValueId>& parts, std::int32_t axis) {
  if (parts.empty()) throw Error(GRAFT_E_INVALID, "concat: needs at least one part.");
  const auto at = static_cast<std::int64_t>(axis_index(*this, parts[0], axis, "concat"));
  return one("concat", parts, {{"axis", at, 0}});
}

std::vector<ValueId> Recorder::split_rows(ValueId x, const Shape& rows) {
  Params params;
  params.shape = rows;
  return record(*find_op("split_rows"), {x}, std::move(params));
}

ValueId Recorder::join_rows(const std::vector<ValueId>& parts, Extent rows) {
  Params params;
  params.shape = {rows};
  return record(*find_op("join_rows"), parts, std::move(params)).at(0);
}

ValueId Recorder::dropout(ValueId x, double p) {
  if (!(p >= 0 && p < 1)) {
    throw Error(GRAFT_E_INVALID, cat("dropout at '", site_, "': p is ", p, ", not in [0, 1)."));
  }
  if (p == 0 || !training_) return x;
  const Extent rows = shape(x).at(0);
  const std::string of = group_ < 0 ? "" : cat(".", group_);
  const char* keyed_by = rows == Extent(Symbol::kSupervised) ? "supervised_keys" : "row_keys";
  const ValueId keys = input(keyed_by + of, GRAFT_I32, {rows, 2});
  const ValueId seed = input("seed" + of, GRAFT_I32, {2});
  return one("dropout", {x, keys, seed}, {{"p", 0, p}, {"stream", dropouts_[group_]++, 0}});
}

void Recorder::assign(ValueId src, ValueId dst, bool accumulate) {
  record("assign", {src, dst}, {{"accumulate", accumulate ? 1 : 0, 0}});
}

ValueId Recorder::reduce_to(ValueId x, const Shape& to) {
  if (shape(x) == to) return x;
  Shape padded = to;
  padded.insert(padded.begin(), shape(x).size() - std::min(shape(x).size(), to.size()), 1);
  Params params;
  params.shape = padded;
  const ValueId y =
      padded == shape(x) ? x : record(*find_op("reduce_sum"), {x}, std::move(params)).at(0);
  return reshape(y, to);
}

}  // namespace graft::core
