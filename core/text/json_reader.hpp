// The parts of a tokenizer.json, read in one pass: vocabulary and merges go straight into arrays.
#pragma once
#include <future>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/text/bpe.hpp"
#include "core/text/vocabulary.hpp"

namespace graft::core {

struct TokenizerParts {
  Json rest = Json::object();  // the file without model.vocab and model.merges
  TextArena arena;
  std::vector<Vocabulary::Entry> vocabulary;  // texts lie in the file or in the arena
  std::vector<double> scores;                 // where model.vocab is a list of [text, score]
  std::vector<Bpe::Merge> merges;
  enum class Kind { none, ids, scores } kind = Kind::none;  // of model.vocab
  /// Made of `vocabulary` while the rest of the file is read; none where there are few pieces.
  std::future<Vocabulary> made;

  /// The vocabulary, once.
  Vocabulary take_vocabulary(std::string_view who);
  Vocabulary::Repeats repeats() const {
    return kind == Kind::scores ? Vocabulary::Repeats::allowed : Vocabulary::Repeats::refused;
  }
};

/// `text` must outlive what is returned. Throws GRAFT_E_INVALID, with the byte where the file goes
/// wrong.
TokenizerParts read_tokenizer_json(std::string_view text, std::string_view who);

}  // namespace graft::core
