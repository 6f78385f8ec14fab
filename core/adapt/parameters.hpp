// Trained tensors: what they are, and the flat ranges of memory they live in.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/adapt/factors.hpp"
#include "core/base/page_file.hpp"
#include "core/graph/ctx.hpp"
#include "core/graph/device.hpp"

namespace graft::core {

struct Parameter {
  std::string name;  ///< "<site>.<name>", as in an adapter file without its prefix
  std::vector<std::int64_t> dims;
  std::string key;        ///< in an adapter file, where that is not "base_model.model.<name>"
  std::int32_t init = 0;  ///< GRAFT_INIT_*
  double init_scale = 0;
  std::int64_t init_seed = 0, init_skip = 0;
  std::vector<std::int32_t> init_rows;
  std::vector<float> init_values;
  std::string init_path;                 ///< an adapter's folder, the tensor in which `base` names
  double lr_scale = 1;                   ///< its learning rate, as a multiple of the step's
  std::uint32_t flags = 0;               ///< GRAFT_PARAM_*
  std::size_t entry = 0;                 ///< which of the methods it belongs to
  std::string base;                      ///< the tensor of the model that it begins from
  bool transposed = false;               ///< files have it as [dims[1], dims[0]]
  std::unique_ptr<graft_tensor> handle;  ///< what the plugin holds

  std::int64_t count() const;
  std::vector<std::int64_t> stored_dims() const;
  bool trained() const { return (flags & GRAFT_PARAM_FROZEN) == 0; }
  /// Ops see the master value itself.
  bool wide() const { return (flags & GRAFT_PARAM_WIDE) != 0; }
};

/// A range of the flat memory whose parameters share their optimizer scalars.
struct ParameterGroup {
  bool decays = true;
  double lr_scale = 1;
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

/// The k-th states that an optimizer keeps of all parameters, one after the other.
struct StateRange {
  std::uint32_t dtype = 0;
  std::int64_t count = 0;
  bool operator==(const StateRange&) const = default;
  std::uint64_t bytes() const;
};

/// Memory of the parameters on a device. Master values and gradients are f32 (f64 where the compute
/// dtype is f64); `compute` is what ops read, the same memory as `master` where the dtypes agree.
struct ParameterMemory {
  std::uint32_t master_dtype = 0, compute_dtype = 0;
  std::shared_ptr<void> master, compute, gradients;
  std::vector<StateRange> ranges;             ///< of the optimizer's states
  std::vector<std::shared_ptr<void>> states;  ///< the memory of each range
  PageFile pages;                             ///< that the states lie in, if they do

  /// Without `train` there are no gradients and no states. `pages`: states go into a file there.
  static ParameterMemory allocate(const Device& device, const ParameterLayout& layout,
                                  std::uint32_t compute_dtype, bool train,
                                  std::vector<StateRange> ranges,
                                  const std::optional<fs::path>& pages = std::nullopt);
  void* master_at(std::int64_t element) const;
  void* compute_at(std::int64_t element) const;
  void* gradient_at(std::int64_t element) const;
  /// What ops read of a parameter that lies there.
  void* seen_at(const Parameter& parameter, std::int64_t element) const {
    return parameter.wide() ? master_at(element) : compute_at(element);
  }
};

/// The matrix [rows, n / rows] the other way round.
std::vector<float> transposed(const std::vector<float>& values, std::int64_t rows);

/// The values of a tensor of the base model, by name.
using BaseValues = std::function<std::vector<float>(const std::string& name)>;

/// Initial values of a parameter: a function of seed, name and base model alone.
std::vector<float> initial_values(const Parameter& parameter, std::uint64_t seed,
                                  const BaseValues& base = {}, LastFactors* last = nullptr);

}  // namespace graft::core
