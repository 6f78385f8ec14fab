#include "core/train/plan_report.hpp"

#include <cstdio>

#include "core/base/size.hpp"

namespace graft::core {
namespace {

const char* recompute_text(Recompute r) {
  switch (r) {
    case Recompute::kNothing:
      return "none";
    case Recompute::kLean:
      return "lean: norms and gate products";
    case Recompute::kBlock:
      return "block: all of each layer but its input";
  }
  return "";
}

}  // namespace

Json plan_json(const Cost& c) {
  Json holders = Json::array();
  for (const Holder& h : c.holders) holders.push_back({{"name", h.name}, {"bytes", h.bytes}});
  return {{"total_bytes", c.total()},
          {"process_bytes", c.process},
          {"weights_bytes", c.weights},
          {"prepared_bytes", c.prepared},
          {"activations_bytes", c.activations},
          {"gradients_bytes", c.gradients},
          {"optimizer_bytes", c.optimizer},
          {"paged_bytes", c.paged},
          {"workspace_bytes", c.workspace},
          {"holders", holders},
          {"trainable_parameters", c.trainable},
          {"flops_per_token", c.flops_per_token},
          {"ops", {{"forward", c.forward_ops}, {"backward", c.backward_ops}}},
          {"capacity",
           {{"rows", c.capacity.rows},
            {"sequences", c.capacity.sequences},
            {"supervised", c.capacity.supervised},
            {"longest", c.capacity.longest}}},
          {"decomposed", c.decomposed}};
}

std::string plan_text(const Cost& c, std::uint64_t memory_limit,
                      const std::vector<std::pair<std::string, std::int64_t>>& steps) {
  std::string text;
  char line[256];
  const auto row = [&](const char* name, std::uint64_t bytes) {
    std::snprintf(line, sizeof line, "  %-44s %12s\n", name, size_text(bytes).c_str());
    text += line;
  };
  text += "memory\n";
  row("process (code, tables, data index)", c.process);
  row("weights of the base model", c.weights);
  if (c.prepared > 0) row("weights prepared for the hardware", c.prepared);
  row("activations", c.activations);
  row("gradients", c.gradients);
  row("optimizer (master values, copies, states)", c.optimizer);
  row("workspace of kernels", c.workspace);
  row("total", c.total());
  if (c.paged > 0) row("optimizer states in a file", c.paged);
  if (memory_limit > 0) row("limit (train.memory_limit)", memory_limit);
  text += "largest\n";
  for (std::size_t i = 0; i < c.holders.size() && i < 5; ++i) {
    row(c.holders[i].name.c_str(), c.holders[i].bytes);
  }
  text += "work\n";
  for (const auto& [run, n] : steps) {
    const std::string name = run.empty() ? "steps" : "steps of '" + run + "'";
    std::snprintf(line, sizeof line, "  %-44s %12lld\n", name.c_str(), static_cast<long long>(n));
    text += line;
  }
  std::snprintf(line, sizeof line, "  %-44s %12lld\n", "trainable parameters",
                static_cast<long long>(c.trainable));
  text += line;
  std::snprintf(line, sizeof line, "  %-44s %8.3f GFLOP\n", "per token", c.flops_per_token * 1e-9);
  text += line;
  std::snprintf(line, sizeof line, "  %-44s %lld forward, %lld backward\n", "ops recorded",
                static_cast<long long>(c.forward_ops), static_cast<long long>(c.backward_ops));
  text += line;
  std::snprintf(line, sizeof line, "  %-44s %s\n", "recompute", recompute_text(c.recompute));
  text += line;
  std::snprintf(line, sizeof line, "  %-44s %lld rows, %lld documents, %lld with a label\n",
                "largest micro-step", static_cast<long long>(c.capacity.rows),
                static_cast<long long>(c.capacity.sequences),
                static_cast<long long>(c.capacity.supervised));
  text += line;
  if (!c.decomposed.empty()) {
    std::string names;
    for (const std::string& name : c.decomposed) names += (names.empty() ? "" : ", ") + name;
    text += "  run as several kernels on this backend: " + names + "\n";
  }
  return text;
}

}  // namespace graft::core
