#include "core/text/gguf_families.hpp"

#include "core/base/error.hpp"
#include "core/text/unicode.hpp"

namespace graft::core {
namespace {

using Split = GgufFamily::Split;

constexpr GgufFamily families[] = {
    {"gpt-2 phi-2 mpt olmo jais exaone4 modern-bert mellum", Split::gpt2},
    {"roberta-bpe jina-v1-en jina-v2-es jina-v2-de jina-v2-code jina-es jina-de", Split::gpt2,
     false, false, false, true},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b", Split::digits_gpt2},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2", Split::llama3, false,
     true, true},
    {"smaug-bpe chatglm-bpe glm4", Split::llama3},
    {"qwen2 deepseek-r1-qwen megrez", Split::qwen2, true},
    {"stablelm2 hunyuan", Split::qwen2},
    {"qwen35", Split::qwen35, true},
    {"tekken", Split::tekken, false, true, true},
    {"falcon", Split::falcon},
    {"default", Split::unnamed},
};

constexpr const char* llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen35_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* tekken_pattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

PreTokenizer isolated(const char* pattern) {
  return split_at(Regex(pattern, "pre-tokenizer"), SplitBehavior::isolated, false);
}

bool names(const GgufFamily& family, std::string_view name) {
  for (std::string_view left = family.names; !left.empty();) {
    const std::size_t end = std::min(left.find(' '), left.size());
    if (left.substr(0, end) == name) return true;
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return false;
}

}  // namespace

std::span<const GgufFamily> gguf_families() {
  return families;
}

const GgufFamily& gguf_family(std::string_view name, std::string_view who) {
  std::string known;
  for (const GgufFamily& family : families) {
    if (names(family, name)) return family;
    known += cat(known.empty() ? "" : " ", family.names);
  }
  throw Error(GRAFT_E_INVALID,
              cat(who, ": the pre-tokenizer '", name,
                  "' (tokenizer.ggml.pre) is not supported; supported are ", known, "."));
}

PreTokenizer pre_tokenizer_of(Split split) {
  switch (split) {
    case Split::llama3:
      return in_sequence({isolated(llama3_pattern), byte_level(false, false)});
    case Split::qwen2:
      return in_sequence({isolated(qwen2_pattern), byte_level(false, false)});
    case Split::qwen35:
      return in_sequence({isolated(qwen35_pattern), byte_level(false, false)});
    case Split::tekken:
      return in_sequence({isolated(tekken_pattern), byte_level(false, false)});
    case Split::digits_gpt2:
      return in_sequence(
          {split_at_class(is_number, SplitBehavior::isolated), byte_level(false, true)});
    case Split::falcon:
      return in_sequence({isolated("[\\p{P}\\$\\+<=>\\^~\\|`]+"), isolated(gpt2_pattern.data()),
                          isolated("[0-9][0-9][0-9]"), byte_level(false, false)});
    case Split::unnamed:
      return in_sequence({isolated("[\\p{P}\\$\\+<=>\\^~\\|]+"), isolated(gpt2_pattern.data()),
                          isolated("\\p{N}+"), isolated("[0-9][0-9][0-9]"),
                          byte_level(false, false)});
    case Split::gpt2:
      break;
  }
  return byte_level(false, true);
}

}  // namespace graft::core
