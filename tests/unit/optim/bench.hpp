// An optimizer plugin over parameters in memory of their own.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "core/base/schema.hpp"
#include "core/optim/optimizer.hpp"
#include "tests/unit/adapt/methods.hpp"
#include "tests/unit/graph/ref_device.hpp"

namespace graft::core::test {

class Bench {
 public:
  using Named = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;

  Bench(const std::string& optimizer, const Json& options, const Named& parameters,
        const std::vector<bool>& decays, std::uint32_t dtype = GRAFT_F64,
        const Device& device = ref_device(), std::uint64_t resident = 0,
        const fs::path& pages = fs::temp_directory_path()) {
    for (const auto& [name, dims] : parameters) {
      Parameter p;
      p.name = name;
      p.dims = dims;
      parameters_.push_back(std::move(p));
    }
    layout_ = lay_out(parameters_, decays);
    const graft_optimizer_api& api = built_plugins().optimizer(optimizer);
    auto scratch = std::make_shared<Scratch>();
    optimizer_ = std::make_unique<Optimizer>(
        api, validate(options, parse_json(api.config_schema, optimizer), optimizer), Log{}, device,
        parameters_, layout_, dtype, scratch, resident);
    scratch->allocate(device);
    std::optional<fs::path> folder;
    if (resident > 0) folder = pages;
    memory_ = ParameterMemory::allocate(device, layout_, dtype, true, optimizer_->states(), folder);
    optimizer_->bind(memory_);
  }

  /// Element k of parameter i, of the master values or the gradients.
  double& value(std::size_t i, std::size_t k) { return at(memory_.master, i, k); }
  double& gradient(std::size_t i, std::size_t k) { return at(memory_.gradients, i, k); }
  std::size_t size(std::size_t i) const { return static_cast<std::size_t>(parameters_[i].count()); }
  const ParameterLayout& layout() const { return layout_; }
  const ParameterMemory& memory() const { return memory_; }
  Optimizer& optimizer() { return *optimizer_; }
  std::uint64_t part_bytes() const { return optimizer_->part_bytes(); }

 private:
  double& at(const std::shared_ptr<void>& memory, std::size_t i, std::size_t k) {
    return static_cast<double*>(memory.get())[layout_.offset[i] + static_cast<std::int64_t>(k)];
  }

  std::vector<Parameter> parameters_;
  ParameterLayout layout_;
  ParameterMemory memory_;
  std::unique_ptr<Optimizer> optimizer_;
};

}  // namespace graft::core::test
