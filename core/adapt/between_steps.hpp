// What methods do between two steps, with the numbers of their parameters at hand.
#pragma once
#include <functional>
#include <map>
#include <vector>

#include "core/adapt/attach.hpp"

namespace graft::core {

/// The parameters' numbers, by parameter.
struct ParameterAccess {
  std::int64_t index = 0;  ///< optimizer steps done
  std::function<std::vector<float>(std::size_t)> value;
  std::function<std::vector<float>(std::size_t)> gradient;            ///< empty where there is none
  std::function<void(std::size_t, const std::vector<float>&)> write;  ///< empty: not now
};

/// Calls after_step() of every method that has one. True if there is any.
bool after_step(AdapterSet& set, const ParameterAccess& access);

/// What an adapter's file holds other than the parameters and options as they are.
struct FileChanges {
  struct Tensor {
    std::vector<std::int64_t> dims;
    std::vector<float> values;
  };
  std::map<std::size_t, Tensor> tensors;  ///< by parameter
  Json options, host;                     ///< all of them
};
FileChanges file_changes(AdapterSet& set, std::size_t entry, const ParameterAccess& access);

}  // namespace graft::core
