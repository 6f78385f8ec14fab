// A folder's tokenizer as the metadata of a GGUF file.
#pragma once
#include <string>
#include <vector>

#include "core/base/file.hpp"
#include "core/tensor/gguf_write.hpp"

namespace graft::core {

/// Adds the keys of the folder's tokenizer and chat templates; `vocab` is the number of rows of the
/// embedding. `scratch` is the name of a .gguf file that is written to read the tokenizer back, and
/// removed. Where it does not give the same tokens, tokenizer.json goes into the file whole. Returns
/// what the user should know; nothing is added where the folder has no tokenizer.
std::vector<std::string> add_tokenizer(GgufWriter& writer, const fs::path& folder,
                                       std::int64_t vocab, const fs::path& scratch);

}  // namespace graft::core
