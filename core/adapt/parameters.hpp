// Trained tensors: what they are, and the flat ranges of memory they live in.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/graph/ctx.hpp"
#include "core/graph/device.hpp"

namespace graft::core {

struct Parameter {
  std::string name;  ///< "<site>.<name>", as in an adapter file without its prefix
  std::vector<std::int64_t> dims;
  std::int32_t init = 0;  ///< GRAFT_INIT_*
  double init_scale = 0;
  std::uint32_t flags = 0;  ///< GRAFT_PARAM_*
  std::size_t entry = 0;    ///< which of the methods it belongs to
  std::string base;         ///< starts as a copy of this tensor of the model (modules_to_save)
  std::unique_ptr<graft_tensor> handle;  ///< what the plugin holds

  std::int64_t count() const;
  bool trained() const { return (flags & GRAFT_PARAM_FROZEN) == 0; }
};

/// A range of the flat memory whose parameters share their optimizer scalars.
struct ParameterGroup {
  bool decays = true;
  std::int64_t begin = 0, count = 0;  ///< elements
  std::vector<std::size_t> members;
};

/// Where each parameter lies: trained ones first, group by group, frozen ones behind them. Every
/// parameter starts at a multiple of 16 elements; the gaps hold zeros.
struct ParameterLayout {
  std::vector<std::int64_t> offset;     ///< elements, by parameter
  std::vector<ParameterGroup> groups;   ///< of trained parameters
  std::int64_t trained = 0, total = 0;  ///< elements, gaps included
};

/// `decays[i]` says whether weight decay applies to parameter i.
ParameterLayout lay_out(const std::vector<Parameter>& parameters, const std::vector<bool>& decays);

/// Memory of the parameters on a device. Master values, gradients and optimizer states are f32 (f64
/// where the compute dtype is f64); `compute` is what ops read, the same memory as `master` where
/// the dtypes agree.
struct ParameterMemory {
  std::uint32_t master_dtype = 0, compute_dtype = 0;
  std::shared_ptr<void> master, compute, gradients;
  std::vector<std::shared_ptr<void>> states;  ///< one range of layout.trained elements per state

  /// Without `train` there are no gradients and no states.
  static ParameterMemory allocate(const Device& device, const ParameterLayout& layout,
                                  std::uint32_t compute_dtype, bool train, std::uint32_t n_state);
  void* master_at(std::int64_t element) const;
  void* compute_at(std::int64_t element) const;
  void* gradient_at(std::int64_t element) const;
};

/// Initial values of a parameter: a function of seed and name alone. Not for copies of the base.
std::vector<float> initial_values(const Parameter& parameter, std::uint64_t seed);

}  // namespace graft::core
