// The C arguments of one kernel call.
#pragma once
#include <graft/plugin.h>

#include <functional>
#include <vector>

#include "core/graph/layout.hpp"
#include "core/graph/op.hpp"

namespace graft::core {

/// The inputs and outputs of a node as its kernel sees them: inputs from OpDef::written_from on are
/// outputs.
struct Operands {
  std::vector<ValueId> in, out;
};
Operands operands(const Node& node);

/// Turns the layouts of the inputs into those that the kernel's contract asks for: inputs that
/// broadcast get the output's shape, a matmul's transposed factors are strides.
void kernel_layouts(const Node& node, std::vector<Layout>& in, const std::vector<Layout>& out);

/// A view of the value without data.
graft_view make_view(const Value& value, const Layout& layout);

/// Owns the arrays of a graft_kernel_args without data; for supports() and workspace().
class KernelArgs {
 public:
  KernelArgs(const Graph& graph, const Node& node, const std::function<Layout(ValueId)>& layout_of,
             bool accumulate = false);
  const graft_kernel_args* get() const { return &args_; }
  KernelArgs(const KernelArgs&) = delete;
  KernelArgs& operator=(const KernelArgs&) = delete;

 private:
  std::vector<graft_view> in_, out_;
  std::vector<graft_attr> attrs_;
  graft_kernel_args args_{};
};

/// The attributes that go to the kernel: the node's, and "accumulate" if set.
std::vector<graft_attr> kernel_attrs(const Node& node, bool accumulate);

}  // namespace graft::core
