// What the engine knows of an op: its shape rule, its derivative, its kernel or decomposition.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.hpp"

namespace graft::core {

class Recorder;

struct TypeShape {
  std::uint32_t dtype = 0;
  Shape shape;
};

/// What a shape rule sees. `who` begins its error messages: "matmul at 'model.layers.0...'".
struct InferArgs {
  std::span<const TypeShape> in;
  const Params& params;
  const std::string& who;

  /// Throws GRAFT_E_INVALID: who, the message, and the shapes of all inputs.
  [[noreturn]] void refuse(const std::string& message) const;
};

/// How a backend carries an op out.
enum class Lowering : std::uint8_t {
  kKernel,     ///< one kernel call
  kView,       ///< no work: another view of the first input
  kConcat,     ///< a copy of each input into a slice of the output along attribute "axis"
  kSplit,      ///< no work: each output a view of the input's rows, one group after the other
  kJoin,       ///< a copy of each input to its rows of the output
  kComposite,  ///< one kernel where the backend has it, else the decomposition
};

/// Which elementwise-like freedoms the planner may take with an op.
struct OpTraits {
  std::int32_t in_place_input = -1;  ///< output may overwrite this input (kernel marked "=")
  bool accumulates = false;          ///< kernel takes "accumulate"
  bool cheap = false;                ///< elementwise or a norm: recomputed rather than saved
  bool broadcasts = false;           ///< inputs are expanded to the output's shape
  bool tiles = false;                ///< correct when every row extent is cut into tiles
};

struct AttrDef {
  const char* name;
  bool real = false;
  double fallback = 0;
  bool required = false;
};

struct OpDef {
  std::string_view name;
  Lowering lowering = Lowering::kKernel;
  const char* kernel = nullptr;  ///< "matmul/1"
  std::vector<AttrDef> attrs;
  std::int32_t min_inputs = 1, max_inputs = 1;
  /// Inputs from this index on are written in place: the kernel gets them as outputs. -1: none.
  std::int32_t written_from = -1;
  OpTraits traits;
  std::vector<TypeShape> (*infer)(const InferArgs&) = nullptr;
  /// Gradients of the inputs (kNone where there is none or it is not wanted), given those of the
  /// outputs (kNone: zero). nullptr: not differentiable.
  std::vector<ValueId> (*derive)(Recorder&, const Node&, std::span<const ValueId> d_out,
                                 const std::vector<bool>& wanted) = nullptr;
  /// kComposite: the same outputs from other ops; those must have the same shapes and dtypes.
  std::vector<ValueId> (*decompose)(Recorder&, const Node&) = nullptr;
};

/// The op of that name, or nullptr.
const OpDef* find_op(std::string_view name);
/// All ops, ordered by name.
std::vector<const OpDef*> all_ops();

// One function per family, each in a file of its own.
std::vector<OpDef> elementwise_ops();
std::vector<OpDef> matmul_ops();
std::vector<OpDef> shape_ops();
std::vector<OpDef> row_ops();
std::vector<OpDef> index_ops();
std::vector<OpDef> group_ops();
std::vector<OpDef> attention_ops();
std::vector<OpDef> loss_ops();
std::vector<OpDef> update_ops();
std::vector<OpDef> small_ops();

}  // namespace graft::core
