#include "core/train/profile.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/graph/plan.hpp"
#include "core/graph/recorder.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {
namespace {

/// Seconds of the fastest of several runs of a recording whose inputs are all bound buffers.
double fastest(const Device& device, Recorder& r, std::uint64_t bytes_each) {
  const auto scratch = std::make_shared<Scratch>();
  Plan plan = make_plan(r, device, PlanOptions{});
  scratch->require(plan);
  Program program(std::move(plan), device, scratch);
  std::vector<std::shared_ptr<void>> memory;
  for (std::int32_t slot = 0; slot < 3; ++slot) {
    memory.push_back(device.allocate(bytes_each));
    program.bind(Role::kBuffer, slot, memory.back().get());
  }
  scratch->allocate(device);
  double best = 1e9, total = 0;
  for (int i = 0; i < 12 && total < 0.5; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    program.run({});
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    best = std::min(best, took.count());
    total += took.count();
  }
  return std::max(best, 1e-9);
}

}  // namespace

std::string site_kind(const std::string& site) {
  const std::size_t layers = site.find("layers.");
  if (layers == std::string::npos) return site;
  const std::size_t dot = site.find('.', layers + 7);
  return dot == std::string::npos ? "layer" : site.substr(dot + 1);
}

void Profile::add(const Node& node, double seconds, const NodeCost& cost) {
  Entry& e = entries_[{node.direction, std::string(node.op->name), site_kind(node.site)}];
  ++e.calls;
  e.seconds += seconds;
  e.flops += cost.flops;
  e.bytes += cost.bytes;
}

void Profile::step(double seconds, std::int64_t tokens) {
  ++steps_;
  seconds_ += seconds;
  tokens_ += tokens;
}

void Profile::clear() {
  *this = {};
}

Json Profile::json(const Json& machine) const {
  const double n = static_cast<double>(std::max<std::int64_t>(1, steps_));
  std::vector<Json> rows;
  double seconds = 0, flops = 0;
  for (const auto& [key, e] : entries_) {
    const auto& [direction, op, site] = key;
    rows.push_back({{"op", op},
                    {"site", site},
                    {"direction", direction == Direction::kForward ? "forward" : "backward"},
                    {"calls", static_cast<double>(e.calls) / n},
                    {"seconds", e.seconds / n},
                    {"flops", e.flops / n},
                    {"bytes", e.bytes / n}});
    seconds += e.seconds;
    flops += e.flops;
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Json& a, const Json& b) {
    return a["seconds"].get<double>() > b["seconds"].get<double>();
  });
  return {{"steps", steps_},
          {"seconds", seconds_ / n},
          {"tokens", static_cast<double>(tokens_) / n},
          {"flops", flops / n},
          {"kernels_seconds", seconds / n},
          {"machine", machine},
          {"rows", rows}};
}

Json measure_machine(const Device& device, std::uint32_t dtype) {
  constexpr std::int64_t kCopied = std::int64_t{64} << 20;
  const auto leaf = [](Recorder& r, std::int32_t slot, std::uint32_t type, const Shape& shape) {
    return r.leaf(Role::kBuffer, slot, type, shape, "measured");
  };
  double rate = 0;
  for (std::int64_t side = 128; side <= 1024; side *= 2) {
    Graph product;
    Recorder p(product);
    const ValueId a = leaf(p, 0, dtype, {side, side}), b = leaf(p, 1, dtype, {side, side});
    p.assign(p.matmul(a, b, 0), leaf(p, 2, dtype, {side, side}), false);
    const double seconds =
        fastest(device, p, static_cast<std::uint64_t>(side * side) * dtype_size(dtype));
    const auto wide = static_cast<double>(side);
    rate = std::max(rate, 2 * wide * wide * wide / seconds);
    if (seconds > 0.05) break;  // larger ones would keep a slow backend busy for minutes
  }
  Graph copy;
  Recorder c(copy);
  const std::int64_t count = kCopied / 4;
  c.assign(leaf(c, 0, GRAFT_F32, {count}), leaf(c, 1, GRAFT_F32, {count}), false);
  const double copy_seconds = fastest(device, c, static_cast<std::uint64_t>(kCopied));
  return {{"flops_per_s", rate},
          {"bytes_per_s", 2.0 * static_cast<double>(kCopied) / copy_seconds}};
}

}  // namespace graft::core
