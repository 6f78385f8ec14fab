#include "core/adapt/virtual_tokens.hpp"

#include <cstdio>

#include "core/base/error.hpp"

namespace graft::core {

std::string prepend_input(std::int64_t before, std::int64_t n, const char* what) {
  return cat("prepend.", before, ".", n, ".", what);
}

void set_prepend_inputs(Program& program, const std::vector<std::int32_t>& cu_seqlens) {
  for (const ValueId input : program.plan().graph.inputs) {
    int before = 0, n = 0, end = 0;
    const std::string name = program.plan().graph[input].name;
    if (std::sscanf(name.c_str(), "prepend.%d.%d.own%n", &before, &n, &end) != 2 || end == 0)
      continue;
    std::vector<std::int32_t> own, row, prefix;
    for (std::size_t j = 0; j + 1 < cu_seqlens.size(); ++j) {
      const std::int32_t length = cu_seqlens[j + 1] - cu_seqlens[j] + before;
      const std::int32_t first = cu_seqlens[j] + before * static_cast<std::int32_t>(j);
      for (std::int32_t i = 0; i < n + length; ++i) {
        own.push_back(i < n ? 0 : 1);
        row.push_back(i < n ? first : first + i - n);
        prefix.push_back(i < n ? i : 0);
      }
    }
    const auto set = [&](const char* what, const std::vector<std::int32_t>& values) {
      program.set_input(prepend_input(before, n, what), values.data(),
                        values.size() * sizeof(std::int32_t));
    };
    set("own", own);
    set("row", row);
    set("head", prefix);
  }
}

}  // namespace graft::core
