// Runs a plan.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/layout.hpp"
#include "core/graph/node_cost.hpp"
#include "core/graph/plan.hpp"

namespace graft::core {

/// Memory that programs which never run at the same time share: allocated once at the size of the
/// largest.
class Scratch {
 public:
  void require(const Plan& plan);  ///< before allocate()
  std::uint64_t bytes() const { return arena_ + workspace_; }
  std::uint64_t arena_bytes() const { return arena_; }
  std::uint64_t workspace_bytes() const { return workspace_; }
  void allocate(const Device& device);
  bool allocated() const { return memory_ != nullptr; }
  std::byte* arena() const { return static_cast<std::byte*>(memory_.get()); }
  std::byte* workspace() const { return arena() + arena_; }

 private:
  std::uint64_t arena_ = 0, workspace_ = 0;
  std::shared_ptr<void> memory_;
};

/// What a profile is told of one kernel call.
using CallTimer = std::function<void(const Node& node, double seconds, const NodeCost& cost)>;

/// A plan with its memory. One thread.
class Program {
 public:
  /// `scratch` must have seen the plan and be allocated before the first run.
  Program(Plan plan, Device device, std::shared_ptr<Scratch> scratch);

  const Plan& plan() const { return plan_; }
  Device& device() { return device_; }

  /// Memory of leaves; must stay valid while the program runs.
  void bind(Role role, std::int32_t slot, void* data);
  /// Copies `bytes` of host memory into the input. An input that the recording does not have is
  /// ignored (a graph without dropout has no seed).
  void set_input(std::string_view name, const void* data, std::uint64_t bytes);
  void set_scalar(std::string_view name, double value);
  bool has_input(std::string_view name) const { return inputs_.count(std::string(name)) > 0; }

  /// Runs all calls. Throws GRAFT_E_INVALID when an extent exceeds its bound, and the kernel's error
  /// with op and site when one fails.
  void run(const Bindings& actual);

  /// Copies a result to the host, dense: count(shape) elements.
  void read(ValueId result, void* host) const;
  /// Device memory of a result and its extents in the last run.
  const void* data(ValueId result) const;
  Layout layout(ValueId value) const { return layouts_.at(static_cast<std::size_t>(value)); }

  void set_timer(CallTimer timer) { timer_ = std::move(timer); }

 private:
  void prepare(const Bindings& actual);
  void run_call(std::size_t call, const std::vector<Layout>& layouts, std::int64_t tile_start,
                std::int64_t tile_length, std::int64_t rows);
  std::byte* base(ValueId root) const;
  graft_view view(ValueId id, const Layout& layout) const;
  std::vector<Layout> evaluate(const Bindings& b) const;
  void zero(ValueId id);

  Plan plan_;
  Device device_;
  std::shared_ptr<Scratch> scratch_;
  std::shared_ptr<void> input_memory_;
  std::map<std::string, ValueId> inputs_;
  std::map<std::pair<int, std::int32_t>, void*> bound_;
  std::vector<ValueId> roots_;  ///< by value, resolved
  Bindings last_{};
  bool prepared_ = false;
  std::vector<Layout> layouts_;  ///< by value, for the extents of the last run
  CallTimer timer_;
};

}  // namespace graft::core
