// What graft_inspect_json answers.
#pragma once
#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "core/base/log.hpp"
#include "core/plugin/registry.hpp"

namespace graft::core {

struct InspectOptions {
  fs::path model;               ///< for data: whose tokenizer and template
  std::string format;           ///< of data; "": found out
  std::int64_t max_length = 0;  ///< of data, as data.max_length
  std::int64_t limit = 3;       ///< examples of data that are shown
};

/// Finds out what `path` is. The answer has "kind": "model", "tokenizer", "adapter", "run", "data",
/// "safetensors" or "gguf".
Json inspect(const fs::path& path, const InspectOptions& options, Registry& registry,
             const Log& log);

// Its parts, by kind.
Json inspect_model(const fs::path& path);
Json inspect_tokenizer(const fs::path& path);
Json inspect_tensors(const fs::path& path);
Json inspect_gguf(const fs::path& path);
Json inspect_data(const fs::path& path, const InspectOptions& options, const Log& log);

}  // namespace graft::core
