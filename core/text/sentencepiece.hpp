// Tokenizers of SentencePiece: from tokenizer.model files, and the kinds llama and t5 of GGUF files.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/tables.hpp"

namespace graft::core {

/// What such a tokenizer is made of, whichever file it comes from.
struct SentencePieceParts {
  enum class Type { normal = 1, unknown, control, user_defined, unused, byte };
  std::vector<Vocabulary::Entry> pieces;
  std::vector<float> scores;
  std::vector<Type> types;
  bool unigram = false;  // else BPE by score
  std::string charsmap;
  bool add_prefix = true, remove_extra_spaces = false;
  std::optional<std::int32_t> bos, eos, pad, unk;
  bool add_bos = false, add_eos = false;
  std::vector<AddedToken> added;  // besides those that the types tell
};

/// Throws GRAFT_E_INVALID; `who` names the source.
std::shared_ptr<Tokenizer::Tables> tables_from_sentencepiece(const SentencePieceParts& parts,
                                                             std::string_view who);

/// The bytes of a tokenizer.model, which is a protocol buffer.
SentencePieceParts read_sentencepiece(std::string_view bytes, std::string_view who);

/// Cuts before each U+2581 that does not follow one: where no piece of the vocabulary goes over such
/// a place, a model finds the same tokens word by word as in the whole text, but faster.
bool has_separate_words(const Vocabulary& vocabulary);
PreTokenizer cut_before_words();

}  // namespace graft::core
