// A recording: values and the ops that make them. Data only; recorder.hpp writes it,
// differentiate.hpp extends it, plan.hpp lays it out.
#pragma once
#include <graft/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/graph/extent.hpp"

namespace graft::core {

using ValueId = std::int32_t;
inline constexpr ValueId kNone = -1;

/// Where a value's data comes from.
enum class Role : std::uint8_t {
  kComputed,   ///< made by an op of the recording
  kParameter,  ///< a parameter as ops see it, in the compute dtype; slot: index of the parameter
  kWeight,     ///< a frozen tensor of the model; slot: index into the model's weights
  kInput,      ///< written before each run; slot: index into Graph::inputs
  kBuffer,     ///< memory that outlives a run (gradient, state, KV cache); slot: given by the owner
};

struct Value {
  std::uint32_t dtype = 0;
  Shape shape;
  Role role = Role::kComputed;
  std::int32_t slot = -1;
  bool trainable = false;  ///< kParameter: gets a gradient
  std::string name;        ///< for people: "model.layers.0.mlp.up_proj", may be empty
  /// kWeight: it lies in blocks, of which `dtype` is what ops see. Its pointers are set by the time
  /// that a program runs.
  std::shared_ptr<const graft_quant> quant;
};

/// An attribute; the op's definition says whether it is an integer or a real number.
struct Attr {
  const char* name = nullptr;
  std::int64_t i = 0;
  double f = 0;
};

/// What an op is given beside its inputs.
struct Params {
  std::vector<Attr> attrs;         ///< in the order of OpDef::attrs, defaults filled in
  Shape shape;                     ///< reshape, expand, fill: the wanted shape; split_rows: rows of
                                   ///< each part; join_rows: of the whole; take_rows: first, number
  std::vector<std::int32_t> axes;  ///< permute: output axis i is input axis axes[i]
};

/// The attribute, which must exist: the recorder fills in defaults.
const Attr& attr(const Params& params, const char* name);

struct OpDef;

enum class Direction : std::uint8_t { kForward, kBackward };

struct Node {
  const OpDef* op = nullptr;
  std::vector<ValueId> in, out;
  Params params;
  ValueId onto = kNone;  ///< out[0] takes over this value's memory and adds to it
  Direction direction = Direction::kForward;
  std::int32_t layer = -1;  ///< layer of the model, -1 outside
  std::string site;         ///< where it was recorded, for errors and profiles
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;       ///< in the order of execution
  std::vector<ValueId> inputs;   ///< kInput values, by slot
  std::vector<ValueId> results;  ///< computed values that are read after a run

  const Value& operator[](ValueId id) const { return values[static_cast<std::size_t>(id)]; }
  Value& operator[](ValueId id) { return values[static_cast<std::size_t>(id)]; }
};

/// Number of ops recorded in a direction.
std::int64_t count_ops(const Graph& graph, Direction direction);

}  // namespace graft::core
