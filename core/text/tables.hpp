// What a loaded tokenizer consists of. Loaders (tokenizer.json, GGUF) fill it.
#pragma once
#include <algorithm>
#include <memory>
#include <optional>

#include "core/text/added_tokens.hpp"
#include "core/text/bpe.hpp"
#include "core/text/decoder.hpp"
#include "core/text/normalizer.hpp"
#include "core/text/post_processor.hpp"
#include "core/text/pre_tokenizer.hpp"
#include "core/text/tokenizer.hpp"
#include "core/text/vocabulary.hpp"

namespace graft::core {

struct Tokenizer::Tables {
  Vocabulary vocabulary;
  AddedTokens added;
  Normalizer normalizer;       // empty: none
  PreTokenizer pre_tokenizer;  // empty: none
  Bpe model;
  PostProcessor post_processor;  // empty: none
  Decoder decoder;
  std::optional<std::int32_t> bos, eos, pad, unk;

  std::int64_t size() const { return std::max(vocabulary.size(), added.size()); }
  /// Added tokens first; without data() where the id has no piece.
  std::string_view piece(std::int64_t id) const;
  std::optional<std::int32_t> id_of(std::string_view piece) const;
};

/// From the text of a tokenizer.json. `who` names it in errors.
std::shared_ptr<Tokenizer::Tables> tables_from_json(std::string_view text, std::string_view who);
/// From the metadata of a .gguf file.
std::shared_ptr<Tokenizer::Tables> tables_from_gguf(const fs::path& path);
/// Takes bos_token, eos_token, ... from the text of a tokenizer_config.json.
void read_special_names(std::string_view text, std::string_view who, Tokenizer::Tables& tables);

}  // namespace graft::core
