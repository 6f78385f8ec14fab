#include "cli/profile.hpp"

#include <cstdio>

namespace cli {
namespace {

constexpr double kShownShare = 0.002;  // rows below it are added up

std::string line(const std::string& name, double calls, double seconds, double step, double flops,
                 double bytes) {
  char text[160];
  std::snprintf(text, sizeof text, "  %-52s %8.0f %10.2f %6.1f %%", name.c_str(), calls,
                seconds * 1e3, 100 * seconds / step);
  std::string out = text;
  if (seconds > 0 && flops > 0) {
    std::snprintf(text, sizeof text, " %9.1f", flops / seconds * 1e-9);
    out += text;
  } else {
    out += std::string(10, ' ');
  }
  if (seconds > 0 && bytes > 0) {
    std::snprintf(text, sizeof text, " %9.1f", bytes / seconds * 1e-9);
    out += text;
  }
  return out + "\n";
}

}  // namespace

std::string profile_text(const Json& event) {
  const double step = event["seconds"], tokens = event["tokens"], flops = event["flops"];
  const Json& machine = event["machine"];
  char text[400];
  std::snprintf(text, sizeof text,
                "Time of a step (mean of %lld%s): %.1f ms, %.0f tokens, %.0f tokens/s, "
                "%.1f GFLOP/s\n"
                "This machine now: %.1f GFLOP/s in large products, %.1f GB/s copying\n\n"
                "  %-52s %8s %10s %8s %9s %9s\n",
                static_cast<long long>(event["steps"].get<double>()), " steps", step * 1e3, tokens,
                tokens / step, flops / step * 1e-9, machine["flops_per_s"].get<double>() * 1e-9,
                machine["bytes_per_s"].get<double>() * 1e-9, "op at site", "calls", "ms", "share",
                "GFLOP/s", "GB/s");
  std::string out = text;
  double calls = 0, seconds = 0, few_flops = 0, bytes = 0;
  for (const Json& row : event["rows"]) {
    const double took = row["seconds"];
    if (took < kShownShare * step) {
      calls += row["calls"].get<double>();
      seconds += took;
      few_flops += row["flops"].get<double>();
      bytes += row["bytes"].get<double>();
      continue;
    }
    const std::string name = row["op"].get<std::string>() + "  " + row["site"].get<std::string>() +
                             (row["direction"] == "backward" ? "  (backward)" : "");
    out += line(name, row["calls"], took, step, row["flops"], row["bytes"]);
  }
  out += line("all others", calls, seconds, step, few_flops, bytes);
  out += line("between kernels: data, dispatch", 0, step - event["kernels_seconds"].get<double>(),
              step, 0, 0);
  return out;
}

}  // namespace cli
