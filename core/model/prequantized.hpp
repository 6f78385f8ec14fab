// Weights that a folder holds quantized as bitsandbytes, GPTQ and AWQ store them.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "core/model/config.hpp"
#include "core/tensor/host_tensor.hpp"

namespace graft::core {

/// The folder's tensor of that name, if it has one.
using TensorLookup = std::function<std::optional<HostTensor>(const std::string& name)>;

/// `stored` with its statistics: codes of 4 bits with "<name>.absmax", "<name>.quant_map", ..,
/// codes of 8 bits with "<module>.SCB". Any other tensor as it is. Throws GRAFT_E_INVALID naming the
/// tensor where statistics are missing or do not fit.
HostTensor with_statistics(HostTensor stored, const TensorLookup& lookup);

/// Whether a name is that of statistics beside a weight.
bool is_statistics(std::string_view name);

/// A weight that is stored as "<module>.qweight", with its "qzeros", "scales" and "g_idx". Throws as above.
HostTensor with_groups(HostTensor codes, const Packing& packing, const TensorLookup& lookup);

/// Whether a name is that of one of these four.
bool is_packed_part(std::string_view name);

}  // namespace graft::core
