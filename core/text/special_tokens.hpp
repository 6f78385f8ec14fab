// What tokenizer_config.json and special_tokens_map.json add to a tokenizer, as transformers has it.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/text/added_tokens.hpp"
#include "core/text/tables.hpp"

namespace graft::core {

struct SpecialTokens {
  std::vector<AddedToken> tokens;            // of added_tokens_decoder, by id: their flags count
  std::vector<AddedToken> named;             // those that are there already stay as they are
  std::map<std::string, std::string> names;  // "bos_token": "<s>"
  /// For files without a post-processor of their own; a tokenizer.json decides by itself.
  std::optional<bool> add_bos, add_eos;
  bool cleans_up_spaces = false;
};

/// A token with its flags, as all of these files write one.
AddedToken added_token(const Json& item, std::string_view who);

/// `config` and `map` are objects, or null where there is no such file.
SpecialTokens special_tokens(const Json& config, const Json& map, std::string_view who);

/// Appends the tokens that are not there, and gives those of added_tokens_decoder their flags.
void add_missing(const SpecialTokens& special, std::vector<AddedToken>& tokens);

/// Names the tokens.
void apply(const SpecialTokens& special, Tokenizer::Tables& tables);

/// What the post-processor adds must be tokens (GRAFT_E_INVALID).
void check_frame(const Tokenizer::Tables& tables, std::string_view who);

}  // namespace graft::core
