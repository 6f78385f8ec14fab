// What the names of pre-tokenizers in .gguf files (tokenizer.ggml.pre) stand for.
#pragma once
#include <span>
#include <string_view>

#include "core/text/pre_tokenizer.hpp"

namespace graft::core {

/// What GGUF has no place for (normal form, ignore_merges) follows from the name too.
struct GgufFamily {
  std::string_view names;  // with spaces between them
  enum class Split { gpt2, digits_gpt2, llama3, qwen2, qwen35, tekken, falcon, unnamed } split;
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false, add_sep = false;
};

std::span<const GgufFamily> gguf_families();

/// Throws GRAFT_E_INVALID with the names that are known.
const GgufFamily& gguf_family(std::string_view name, std::string_view who);
PreTokenizer pre_tokenizer_of(GgufFamily::Split split);

}  // namespace graft::core
