// What a loaded tokenizer consists of. Loaders (tokenizer.json, GGUF, SentencePiece) fill it.
#pragma once
#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/text/added_tokens.hpp"
#include "core/text/decoder.hpp"
#include "core/text/model.hpp"
#include "core/text/normalizer.hpp"
#include "core/text/post_processor.hpp"
#include "core/text/pre_tokenizer.hpp"
#include "core/text/tokenizer.hpp"
#include "core/text/vocabulary.hpp"

namespace graft::core {

/// What encode() works in, kept from call to call: each call takes one and gives it back.
class ModelMemories {
 public:
  std::unique_ptr<ModelMemory> take();
  void give(std::unique_ptr<ModelMemory> memory);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<ModelMemory>> free_;
};

struct Tokenizer::Tables {
  Vocabulary vocabulary;
  AddedTokens added;
  Normalizer normalizer;       // empty: none
  PreTokenizer pre_tokenizer;  // empty: none
  TextModel model;
  PostProcessor post_processor;
  Decoder decoder;
  std::optional<std::int32_t> bos, eos, pad, unk;
  bool cleans_up_spaces = false;
  std::vector<std::string> notes;
  mutable ModelMemories memories;

  std::int64_t size() const { return std::max(vocabulary.size(), added.size()); }
  /// Added tokens first; without data() where the id has no piece.
  std::string_view piece(std::int64_t id) const;
  std::optional<std::int32_t> id_of(std::string_view piece) const;
  /// What the decoder gets; without data() where the id has no piece.
  std::string_view decoded(std::int64_t id) const;
};

/// From the text of a tokenizer.json, with what tokenizer_config.json and special_tokens_map.json
/// (null where there is none) change of it. `who` names it in errors.
std::shared_ptr<Tokenizer::Tables> tables_from_json(std::string_view text, const Json& config,
                                                    const Json& special_map, std::string_view who);
/// The same from the bytes of a SentencePiece tokenizer.model.
std::shared_ptr<Tokenizer::Tables> tables_from_model_file(std::string_view bytes,
                                                          const Json& config,
                                                          const Json& special_map,
                                                          std::string_view who);
/// From the metadata of a .gguf file.
std::shared_ptr<Tokenizer::Tables> tables_from_gguf(const fs::path& path);

}  // namespace graft::core
