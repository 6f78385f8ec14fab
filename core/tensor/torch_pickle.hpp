// The pickle inside a file of torch.save, as far as a state dict needs it. A pickle is a program; this
// machine knows what puts a dict of tensors together, and can call nothing.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor/safetensors_format.hpp"

namespace graft::core::torch {

/// A tensor as the pickle tells of it: a view of a storage.
struct PickledTensor {
  std::string name;
  std::string storage;                      ///< the key of the entry "data/<key>"
  const safetensors::Type* type = nullptr;  ///< of the storage
  std::int64_t storage_elements = 0, offset = 0;
  safetensors::Extents shape, strides;  ///< of equal length; elements
};

/// The tensors of a pickled dict, in its order. Throws GRAFT_E_INVALID naming `who`, the opcode or
/// the global, and the byte, for whatever a state dict does not need.
std::vector<PickledTensor> read_pickle(std::string_view pickle, std::string_view who);

}  // namespace graft::core::torch
