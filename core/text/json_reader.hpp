// The parts of a tokenizer.json, read in one pass: vocabulary and merges go straight into arrays.
#pragma once
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/text/bpe.hpp"
#include "core/text/vocabulary.hpp"

namespace graft::core {

struct TokenizerParts {
  Json rest;  // the file without model.vocab and model.merges
  TextArena arena;
  std::vector<Vocabulary::Entry> vocabulary;
  std::vector<Bpe::Merge> merges;
  bool has_vocabulary = false;  // model.vocab is an object of ids
};

/// Throws GRAFT_E_INVALID, with the byte where the file goes wrong.
TokenizerParts read_tokenizer_json(std::string_view text, std::string_view who);

}  // namespace graft::core
