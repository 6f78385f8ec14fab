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
  std::vector<AddedToken> tokens;            // of added_tokens_decoder, by id; then the named ones
  std::map<std::string, std::string> names;  // "bos_token": "<s>"
  std::optional<bool> add_bos, add_eos;
  bool adds_bos_unasked = false;  // the class of the tokenizer does
  bool cleans_up_spaces = false;
};

/// A token with its flags, as all of these files write one.
AddedToken added_token(const Json& item, std::string_view who);

/// `config` and `map` are objects, or null where there is no such file.
SpecialTokens special_tokens(const Json& config, const Json& map, std::string_view who);

/// Appends the tokens that are not there, or have other flags there.
void add_missing(const SpecialTokens& special, std::vector<AddedToken>& tokens);

/// Names the tokens, and frames texts with BOS and EOS where these files ask for it.
void apply(const SpecialTokens& special, Tokenizer::Tables& tables);

/// What the post-processor adds must be tokens (GRAFT_E_INVALID).
void check_frame(const Tokenizer::Tables& tables, std::string_view who);

}  // namespace graft::core
