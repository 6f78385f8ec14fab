#include "core/graph/op.hpp"

#include <map>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

using Table = std::map<std::string_view, OpDef>;

const Table& table() {
  static const Table ops = [] {
    Table result;
    for (auto family : {elementwise_ops, matmul_ops, shape_ops, row_ops, index_ops, attention_ops,
                        loss_ops, update_ops, small_ops, group_ops}) {
      for (OpDef& op : family()) result.emplace(op.name, std::move(op));
    }
    return result;
  }();
  return ops;
}

}  // namespace

const OpDef* find_op(std::string_view name) {
  const auto at = table().find(name);
  return at == table().end() ? nullptr : &at->second;
}

std::vector<const OpDef*> all_ops() {
  std::vector<const OpDef*> result;
  for (const auto& [name, op] : table()) result.push_back(&op);
  return result;
}

void InferArgs::refuse(const std::string& message) const {
  std::string shapes;
  for (const TypeShape& t : in) shapes += (shapes.empty() ? "" : ", ") + to_string(t.shape);
  throw Error(GRAFT_E_INVALID, cat(who, ": ", message, " Given: ", shapes, "."));
}

}  // namespace graft::core
