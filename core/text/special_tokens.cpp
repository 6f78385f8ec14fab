#include "core/text/special_tokens.hpp"

#include <charconv>

#include "core/text/config.hpp"

namespace graft::core {
namespace {

constexpr const char* named[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                 "pad_token", "cls_token", "mask_token"};

const Json* find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found != object.end() && !found->is_null() ? &*found : nullptr;
}

/// Text, or an object with flags.
AddedToken token_of(const Json& value, std::string_view who) {
  if (value.is_object()) {
    AddedToken token = added_token(value, who);
    token.special = true;
    token.normalized = flag(value, "normalized", false, who);
    return token;
  }
  AddedToken token;
  token.content = value.get<std::string>();
  token.special = true;
  token.normalized = false;
  return token;
}

bool is_token(const Json& value) {
  return value.is_string() || (value.is_object() && value.contains("content"));
}

void add_decoder(const Json& config, std::string_view who, std::vector<AddedToken>& out) {
  const Json* tokens = find(config, "added_tokens_decoder");
  if (tokens == nullptr || !tokens->is_object()) return;
  std::map<std::int64_t, AddedToken> by_id;
  for (const auto& [key, item] : tokens->items()) {
    std::int64_t id = -1;
    const char* end = key.data() + key.size();
    if (std::from_chars(key.data(), end, id).ptr != end || id < 0) {
      throw Error(GRAFT_E_INVALID,
                  cat(who, ": added_tokens_decoder has the key \"", key, "\", which is no id."));
    }
    by_id[id] = added_token(item, who);
  }
  for (auto& [id, token] : by_id) out.push_back(std::move(token));
}

}  // namespace

AddedToken added_token(const Json& item, std::string_view who) {
  AddedToken token;
  token.content = member(item, "content", Json::value_t::string, who).get_ref<const std::string&>();
  token.single_word = flag(item, "single_word", false, who);
  token.lstrip = flag(item, "lstrip", false, who);
  token.rstrip = flag(item, "rstrip", false, who);
  token.special = flag(item, "special", false, who);
  token.normalized = flag(item, "normalized", !token.special, who);
  return token;
}

SpecialTokens special_tokens(const Json& config, const Json& map, std::string_view who) {
  SpecialTokens out;
  add_decoder(config, who, out.tokens);
  const auto take = [&](const Json& value) {
    out.named.push_back(token_of(value, who));
    return out.named.back().content;
  };
  for (const char* name : named) {
    const Json* value = find(config, name);
    if (value == nullptr) value = find(map, name);
    if (value != nullptr && is_token(*value)) out.names[name] = take(*value);
  }
  for (const char* list : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json* values = find(config, list);
    if (values == nullptr) values = find(map, list);
    if (values == nullptr || !(values->is_array() || values->is_object())) continue;
    for (const Json& value : *values) {
      if (is_token(value)) take(value);
    }
  }
  if (find(config, "add_bos_token")) out.add_bos = flag(config, "add_bos_token", false, who);
  if (find(config, "add_eos_token")) out.add_eos = flag(config, "add_eos_token", false, who);
  if (config.is_object()) {
    out.cleans_up_spaces = flag(config, "clean_up_tokenization_spaces", false, who);
  }
  return out;
}

void add_missing(const SpecialTokens& special, std::vector<AddedToken>& tokens) {
  std::map<std::string, std::size_t> known;
  for (std::size_t i = 0; i < tokens.size(); ++i) known[tokens[i].content] = i;
  const auto add = [&](const AddedToken& token, bool replaces) {
    const auto [found, is_new] = known.try_emplace(token.content, tokens.size());
    if (is_new) {
      tokens.push_back(token);
    } else if (replaces) {
      tokens[found->second] = token;
    }
  };
  for (const AddedToken& token : special.tokens) add(token, true);
  for (const AddedToken& token : special.named) add(token, false);
}

void apply(const SpecialTokens& special, Tokenizer::Tables& tables) {
  const auto id_of = [&](const char* name) -> std::optional<std::int32_t> {
    const auto found = special.names.find(name);
    return found != special.names.end() ? tables.id_of(found->second) : std::nullopt;
  };
  tables.bos = id_of("bos_token");
  tables.eos = id_of("eos_token");
  tables.pad = id_of("pad_token");
  tables.unk = id_of("unk_token");
  tables.cleans_up_spaces = special.cleans_up_spaces;
}

void check_frame(const Tokenizer::Tables& tables, std::string_view who) {
  const Frame& frame = tables.post_processor.frame;
  for (const std::vector<FramePart>* parts : {&frame.single, &frame.pair}) {
    for (const FramePart& part : *parts) {
      for (const std::int32_t id : part.ids) {
        if (tables.piece(id).data() != nullptr) continue;
        throw Error(GRAFT_E_INVALID,
                    cat(who, ": the post-processor adds the id ", id,
                        ", which is no token; ids are below ", tables.size(), "."));
      }
    }
  }
}

}  // namespace graft::core
