// A tokenizer from tokenizer.json and tokenizer_config.json.
#include "core/text/config.hpp"
#include "core/text/json_reader.hpp"
#include "core/text/tables.hpp"

namespace graft::core {
namespace {

const Json& part(const Json& config, const char* key) {
  static const Json null;
  const auto found = config.find(key);
  return found != config.end() ? *found : null;
}

/// Model settings that this tokenizer has no code for must not be in force.
void refuse_settings(const Json& model, std::string_view who) {
  const auto refuse = [&](const char* key) {
    throw Error(GRAFT_E_INVALID, cat(who, ": the BPE setting ", key, " = ", to_text(model[key]),
                                     " is not supported."));
  };
  const Json& dropout = part(model, "dropout");
  if (!dropout.is_null() && dropout != 0.0) refuse("dropout");
  if (flag(model, "byte_fallback", false, who)) refuse("byte_fallback");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!text_member(model, key, who).empty()) refuse(key);
  }
}

std::vector<AddedToken> added_tokens(const Json& list, std::string_view who) {
  std::vector<AddedToken> out;
  if (list.is_null()) return out;
  if (!list.is_array()) {
    throw Error(GRAFT_E_INVALID, cat(who, ": \"added_tokens\" must be an array."));
  }
  for (const Json& item : list) {
    AddedToken token;
    token.content =
        member(item, "content", Json::value_t::string, who).get_ref<const std::string&>();
    // The id follows from the vocabulary; the one written here only has to make sense.
    const Json& id = part(item, "id");
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > (std::uint64_t{1} << 24)) {
      throw Error(GRAFT_E_INVALID, cat(who, ": the added token '", token.content, "' has the id ",
                                       to_text(id), "; it must be 0 to ", 1 << 24, "."));
    }
    token.single_word = flag(item, "single_word", false, who);
    token.lstrip = flag(item, "lstrip", false, who);
    token.rstrip = flag(item, "rstrip", false, who);
    token.special = flag(item, "special", false, who);
    token.normalized = flag(item, "normalized", !token.special, who);
    out.push_back(std::move(token));
  }
  return out;
}

/// What the post-processor adds must be tokens.
void check_frame(const Tokenizer::Tables& tables, std::string_view who) {
  if (!tables.post_processor) return;
  std::vector<Token> frame;
  tables.post_processor(frame, {"", [](const Token&) { return std::string_view(); }, true});
  for (const Token& token : frame) {
    if (tables.piece(token.id).data() != nullptr) continue;
    throw Error(GRAFT_E_INVALID, cat(who, ": the post-processor adds the id ", token.id,
                                     ", which is no token; ids are below ", tables.size(), "."));
  }
}

}  // namespace

std::shared_ptr<Tokenizer::Tables> tables_from_json(std::string_view text, std::string_view who) {
  TokenizerParts parts = read_tokenizer_json(text, who);
  const Json& file = parts.rest;
  const Json& model = member(file, "model", Json::value_t::object, who);
  // Old files name no model type; their BPE ones have merges.
  if (model.contains("type")) {
    const std::string type = type_of(model, "model", who);
    if (type != "BPE") refuse_kind("model", type, "BPE", who);
  }
  if (!parts.has_vocabulary) {
    throw Error(GRAFT_E_INVALID, cat(who, ": model.vocab must be an object of ids."));
  }
  refuse_settings(model, who);

  auto tables = std::make_shared<Tokenizer::Tables>();
  tables->vocabulary = Vocabulary(parts.vocabulary, std::move(parts.arena), who);
  const std::string unk = text_member(model, "unk_token", who);
  BpeOptions options;
  options.unk = unk;
  options.fuse_unk = flag(model, "fuse_unk", false, who);
  options.ignore_merges = flag(model, "ignore_merges", false, who);
  tables->model = Bpe(tables->vocabulary, parts.merges, options, who);
  tables->normalizer = make_normalizer(part(file, "normalizer"), who);
  tables->pre_tokenizer = make_pre_tokenizer(part(file, "pre_tokenizer"), who);
  tables->post_processor = make_post_processor(part(file, "post_processor"), who);
  tables->decoder = Decoder(part(file, "decoder"), who);
  tables->added = AddedTokens(added_tokens(part(file, "added_tokens"), who), tables->vocabulary,
                              tables->normalizer, who);
  check_frame(*tables, who);
  return tables;
}

void read_special_names(std::string_view text, std::string_view who, Tokenizer::Tables& tables) {
  const Json config = parse_json(text, who);
  const auto id_of = [&](const char* key) -> std::optional<std::int32_t> {
    const Json& value = part(config, key);
    const Json& name = value.is_object() ? part(value, "content") : value;
    if (!name.is_string()) return std::nullopt;
    return tables.id_of(name.get_ref<const std::string&>());
  };
  tables.bos = id_of("bos_token");
  tables.eos = id_of("eos_token");
  tables.pad = id_of("pad_token");
  tables.unk = id_of("unk_token");
}

}  // namespace graft::core
