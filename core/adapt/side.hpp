// What methods record beside the model, run at once in f32: merged weights, and tensors that are
// computed for an adapter's file.
#pragma once
#include <string>
#include <vector>

#include "core/adapt/adapter_files.hpp"
#include "core/graph/device.hpp"

namespace graft::core {

/// Values of all parameters, by parameter.
using ParameterValues = std::vector<std::vector<float>>;

/// A tensor that the storage of the entry's method lists as computed.
StoredTensor computed_tensor(const Device& device, AdapterSet& set, std::size_t entry,
                             const std::string& name, const ParameterValues& values);

/// Whether methods that change the op at this site are attached there. Throws GRAFT_E_INVALID for
/// one that cannot be merged.
bool merges_at(AdapterSet& set, std::size_t site);

/// Weight and bias (empty: there is none) of the site's module with everything attached there in
/// them, innermost first.
struct ModuleTensors {
  std::vector<std::int64_t> shape;  ///< of the weight
  std::vector<float> weight, bias;
};
ModuleTensors merged(const Device& device, AdapterSet& set, std::size_t site, ModuleTensors tensors,
                     const ParameterValues& values, const std::vector<double>& strengths);

/// The parameter that stands in for a tensor of the base model, or nullptr.
const std::size_t* replaced_by(AdapterSet& set, const std::string& tensor);

}  // namespace graft::core
