// Where the time of training steps went.
#pragma once
#include <map>
#include <string>
#include <tuple>

#include "core/base/json.hpp"
#include "core/graph/device.hpp"
#include "core/graph/program.hpp"

namespace graft::core {

/// Adds up kernel calls by direction, op and kind of site: "mlp.up_proj" stands for that of all
/// layers.
class Profile {
 public:
  void add(const Node& node, double seconds, const NodeCost& cost);
  /// One whole step: what its kernels did not take is overhead (data, dispatch).
  void step(double seconds, std::int64_t tokens);
  /// Forgets what was added: the first step also allocates and compiles.
  void clear();
  std::int64_t steps() const { return steps_; }

  /// {"steps", "seconds", "tokens", "flops", "kernels_seconds", "machine": {..}, "rows": [{"op",
  /// "site", "direction", "calls", "seconds", "flops", "bytes"}..] longest first}; seconds, calls,
  /// flops and bytes are per step. `machine` is what measure_machine returned.
  Json json(const Json& machine) const;

 private:
  struct Entry {
    std::int64_t calls = 0;
    double seconds = 0, flops = 0, bytes = 0;
  };
  std::map<std::tuple<Direction, std::string, std::string>, Entry> entries_;
  std::int64_t steps_ = 0, tokens_ = 0;
  double seconds_ = 0;
};

/// "model.layers.3.mlp.up_proj" -> "mlp.up_proj"; other sites as they are.
std::string site_kind(const std::string& site);

/// What the backend reaches on this machine now: {"flops_per_s", "bytes_per_s"}: the best of several
/// products of square matrices (1024 x 1024, smaller where those take long) in `dtype`, and of
/// copies of 64 MiB (bytes read and written).
Json measure_machine(const Device& device, std::uint32_t dtype);

}  // namespace graft::core
