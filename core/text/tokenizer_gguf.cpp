// A byte-level tokenizer from the metadata of a .gguf file.
#include "core/base/error.hpp"
#include "core/tensor/gguf.hpp"
#include "core/text/tables.hpp"

namespace graft::core {
namespace {

enum class Split { gpt2, digits_gpt2, llama3, qwen2 };

/// What the name in tokenizer.ggml.pre stands for. What GGUF has no place for (normal form,
/// ignore_merges) follows from it too.
struct Family {
  std::string_view name;
  Split split = Split::gpt2;
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;
};

constexpr Family families[] = {
    {"gpt-2"},
    {"default"},  // what files without a name get: written for GPT-2, before there were names
    {"phi-2"},
    {"smollm", Split::digits_gpt2},
    {"starcoder", Split::digits_gpt2},
    {"refact", Split::digits_gpt2},
    {"llama-bpe", Split::llama3, false, true, true},
    {"llama3", Split::llama3, false, true, true},
    {"llama-v3", Split::llama3, false, true, true},
    {"falcon3", Split::llama3, false, true, true},
    {"qwen2", Split::qwen2, true},
    {"deepseek-r1-qwen", Split::qwen2, true},
};

const Family& family_of(std::string_view pre, std::string_view who) {
  std::string known;
  for (const Family& family : families) {
    if (family.name == pre) return family;
    known += cat(known.empty() ? "" : ", ", family.name);
  }
  throw Error(GRAFT_E_INVALID,
              cat(who, ": the pre-tokenizer '", pre,
                  "' (tokenizer.ggml.pre) is not supported; supported are ", known, "."));
}

PreTokenizer pre_tokenizer_of(Split split) {
  const auto words = [](std::string_view pattern) {
    return in_sequence({split_at(Regex(pattern, "pre-tokenizer"), SplitBehavior::isolated, false),
                        byte_level(false, false)});
  };
  switch (split) {
    case Split::llama3:
      return words(llama3_pattern);
    case Split::qwen2:
      return words(qwen2_pattern);
    case Split::digits_gpt2:
      return in_sequence({split_digits(true), byte_level(false, true)});
    case Split::gpt2:
      break;
  }
  return byte_level(false, true);
}

std::vector<Bpe::Merge> merges_of(const Gguf& file, TextArena& arena, std::string_view who) {
  std::vector<Bpe::Merge> out;
  for (const std::string_view text : file.texts("tokenizer.ggml.merges")) {
    const std::string_view line = arena.keep(text);
    const std::size_t space = line.find(' ', 1);
    if (space == line.npos) {
      throw Error(GRAFT_E_INVALID, cat(who, ": merge ", out.size(), ", '", line,
                                       "', must be two pieces and a space."));
    }
    out.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return out;
}

/// Control tokens (3) and those that a user defined (4) are found in the text before all else.
std::vector<AddedToken> added_tokens_of(const Gguf& file, const Vocabulary& vocabulary,
                                        std::string_view who) {
  std::vector<AddedToken> out;
  if (!file.has("tokenizer.ggml.token_type")) return out;
  const std::vector<std::int64_t> types = file.integers("tokenizer.ggml.token_type");
  if (static_cast<std::int64_t>(types.size()) != vocabulary.size()) {
    throw Error(GRAFT_E_INVALID, cat(who, ": tokenizer.ggml.token_type has ", types.size(),
                                     " entries for ", vocabulary.size(), " tokens."));
  }
  for (std::size_t id = 0; id < types.size(); ++id) {
    if (types[id] != 3 && types[id] != 4) continue;
    AddedToken token;
    token.content = vocabulary.piece(static_cast<std::int64_t>(id));
    token.normalized = false;
    token.special = types[id] == 3;
    out.push_back(std::move(token));
  }
  return out;
}

std::optional<std::int32_t> id_at(const Gguf& file, std::string_view key,
                                  const Vocabulary& vocabulary, std::string_view who) {
  const std::string name = cat("tokenizer.ggml.", key);
  if (!file.has(name)) return std::nullopt;
  const std::int64_t id = file.integer(name);
  if (!vocabulary.has(id)) {
    throw Error(GRAFT_E_INVALID, cat(who, ": ", name, " = ", id, " is no token; ids are 0 to ",
                                     vocabulary.size() - 1, "."));
  }
  return static_cast<std::int32_t>(id);
}

}  // namespace

std::shared_ptr<Tokenizer::Tables> tables_from_gguf(const fs::path& path) {
  const Gguf file = Gguf::open(path);
  const std::string who = path.string();
  if (file.has("tokenizer.huggingface.json")) {
    return tables_from_json(file.text("tokenizer.huggingface.json"), who);
  }
  const std::string_view model = file.text("tokenizer.ggml.model");
  if (model != "gpt2") {
    throw Error(GRAFT_E_INVALID, cat(who, ": the tokenizer '", model, "' (tokenizer.ggml.model) ",
                                     "is not supported; supported is gpt2, byte-level BPE."));
  }
  const Family& family = family_of(file.text("tokenizer.ggml.pre", "default"), who);

  auto tables = std::make_shared<Tokenizer::Tables>();
  TextArena arena;
  std::vector<Vocabulary::Entry> entries;
  for (const std::string_view token : file.texts("tokenizer.ggml.tokens")) {
    entries.push_back({arena.keep(token), static_cast<std::int64_t>(entries.size())});
  }
  const std::vector<Bpe::Merge> merges = merges_of(file, arena, who);
  tables->vocabulary = Vocabulary(entries, std::move(arena), who);
  BpeOptions options;
  options.ignore_merges = family.ignore_merges;
  tables->model = Bpe(tables->vocabulary, merges, options, who);
  if (family.nfc) tables->normalizer = normalize_nfc;
  tables->pre_tokenizer = pre_tokenizer_of(family.split);
  tables->decoder = Decoder::byte_level();
  tables->added = AddedTokens(added_tokens_of(file, tables->vocabulary, who), tables->vocabulary,
                              tables->normalizer, who);
  tables->bos = id_at(file, "bos_token_id", tables->vocabulary, who);
  tables->eos = id_at(file, "eos_token_id", tables->vocabulary, who);
  tables->pad = id_at(file, "padding_token_id", tables->vocabulary, who);
  tables->unk = id_at(file, "unknown_token_id", tables->vocabulary, who);

  const auto framed = [&](const char* key, bool otherwise, std::optional<std::int32_t> id) {
    std::vector<std::int32_t> out;
    if (id && file.flag(cat("tokenizer.ggml.", key), otherwise)) out.push_back(*id);
    return out;
  };
  tables->post_processor = frame(framed("add_bos_token", family.add_bos, tables->bos),
                                 framed("add_eos_token", false, tables->eos));
  return tables;
}

}  // namespace graft::core
