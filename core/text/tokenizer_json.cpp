// A tokenizer from tokenizer.json.
#include "core/text/config.hpp"
#include "core/text/json_reader.hpp"
#include "core/text/sentencepiece.hpp"
#include "core/text/special_tokens.hpp"
#include "core/text/tables.hpp"

namespace graft::core {
namespace {

const Json& part(const Json& config, const char* key) {
  static const Json null;
  const auto found = config.find(key);
  return found != config.end() ? *found : null;
}

std::vector<AddedToken> added_tokens(const Json& list, std::string_view who) {
  std::vector<AddedToken> out;
  if (list.is_null()) return out;
  if (!list.is_array()) {
    throw Error(GRAFT_E_INVALID, cat(who, ": \"added_tokens\" must be an array."));
  }
  for (const Json& item : list) {
    AddedToken token = added_token(item, who);
    // The id follows from the vocabulary; the one written here only has to make sense.
    const Json& id = part(item, "id");
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > (std::uint64_t{1} << 24)) {
      throw Error(GRAFT_E_INVALID, cat(who, ": the added token '", token.content, "' has the id ",
                                       to_text(id), "; it must be 0 to ", 1 << 24, "."));
    }
    out.push_back(std::move(token));
  }
  return out;
}

/// Old files name no model type.
std::string model_type(const Json& model, const TokenizerParts& parts, std::string_view who) {
  if (model.contains("type")) return type_of(model, "model", who);
  if (parts.kind == TokenizerParts::Kind::scores) return "Unigram";
  if (model.contains("continuing_subword_prefix") && parts.merges.empty()) return "WordPiece";
  return "BPE";
}

Bpe make_bpe(const Json& model, const TokenizerParts& parts, Tokenizer::Tables& tables,
             std::string_view who) {
  BpeOptions options;
  options.unk = text_member(model, "unk_token", who);
  options.fuse_unk = flag(model, "fuse_unk", false, who);
  options.ignore_merges = flag(model, "ignore_merges", false, who);
  options.byte_fallback = flag(model, "byte_fallback", false, who);
  options.prefix = text_member(model, "continuing_subword_prefix", who);
  options.suffix = text_member(model, "end_of_word_suffix", who);
  const Json& dropout = part(model, "dropout");
  if (!dropout.is_null() && dropout != 0.0) {
    tables.notes.push_back(cat(who, ": the BPE dropout of ", to_text(dropout),
                               " is left out: equal texts get equal tokens."));
  }
  return {tables.vocabulary, parts.merges, std::move(options), who};
}

Unigram make_unigram(const Json& model, TokenizerParts& parts, Tokenizer::Tables& tables,
                     std::string_view who) {
  const Json& unk = part(model, "unk_id");
  std::optional<std::int64_t> id;
  if (!unk.is_null()) {
    if (!unk.is_number_unsigned() || unk.get<std::uint64_t>() > (std::uint64_t{1} << 24)) {
      throw Error(GRAFT_E_INVALID, cat(who, ": the unk_id ", to_text(unk), " is no token."));
    }
    id = unk.get<std::int64_t>();
  }
  const bool byte_fallback = flag(model, "byte_fallback", false, who);
  Trie tree = Unigram::tree_of(parts.vocabulary, parts.scores);  // while the vocabulary is made
  tables.vocabulary = parts.take_vocabulary(who);
  return {tables.vocabulary, std::move(tree), parts.scores, id, byte_fallback, who};
}

WordPiece make_word_piece(const Json& model, const Vocabulary& vocabulary, std::string_view who) {
  std::size_t most = 100;
  const Json& value = part(model, "max_input_chars_per_word");
  if (!value.is_null()) {
    if (!value.is_number_unsigned()) {
      throw Error(GRAFT_E_INVALID, cat(who, ": max_input_chars_per_word is ", to_text(value),
                                       "; it must be a number."));
    }
    most = value.get<std::size_t>();
  }
  const Json& prefix = part(model, "continuing_subword_prefix");
  const std::string unk = text_member(model, "unk_token", who);
  return {vocabulary, unk.empty() ? "[UNK]" : unk, prefix.is_string() ? prefix : Json("##"), most,
          who};
}

TextModel make_model(const Json& model, TokenizerParts& parts, Tokenizer::Tables& tables,
                     std::string_view who) {
  const std::string type = model_type(model, parts, who);
  constexpr std::string_view known[] = {"BPE", "Unigram", "WordPiece", "WordLevel"};
  if (std::find(std::begin(known), std::end(known), type) == std::end(known)) {
    refuse_kind("model", type, "BPE, Unigram, WordPiece, WordLevel", who);
  }
  const bool by_scores = type == "Unigram";
  if (parts.kind != (by_scores ? TokenizerParts::Kind::scores : TokenizerParts::Kind::ids)) {
    throw Error(GRAFT_E_INVALID, cat(who, ": model.vocab must be ",
                                     by_scores ? "a list of [text, score]." : "an object of ids."));
  }
  if (type == "Unigram") return make_unigram(model, parts, tables, who);
  tables.vocabulary = parts.take_vocabulary(who);
  if (type == "BPE") return make_bpe(model, parts, tables, who);
  if (type == "WordPiece") return make_word_piece(model, tables.vocabulary, who);
  const std::string unk = text_member(model, "unk_token", who);
  return WordLevel(tables.vocabulary, unk.empty() ? "<unk>" : unk);
}

/// Whether words may be given to the model one by one though the file does not say so.
bool is_word_wise(const TextModel& model, const Vocabulary& vocabulary) {
  const auto* bpe = std::get_if<Bpe>(&model);
  return ((bpe != nullptr && bpe->has_unknown()) || std::holds_alternative<Unigram>(model)) &&
         has_separate_words(vocabulary);
}

}  // namespace

std::shared_ptr<Tokenizer::Tables> tables_from_json(std::string_view text, const Json& config,
                                                    const Json& special_map, std::string_view who) {
  TokenizerParts parts = read_tokenizer_json(text, who);
  const Json& file = parts.rest;
  const Json& model = member(file, "model", Json::value_t::object, who);
  auto tables = std::make_shared<Tokenizer::Tables>();
  tables->model = make_model(model, parts, *tables, who);
  tables->normalizer = make_normalizer(part(file, "normalizer"), who);
  tables->pre_tokenizer = make_pre_tokenizer(part(file, "pre_tokenizer"), who);
  tables->post_processor = make_post_processor(part(file, "post_processor"), who);
  tables->decoder = Decoder(part(file, "decoder"), who);
  if (!tables->pre_tokenizer && is_word_wise(tables->model, tables->vocabulary)) {
    tables->pre_tokenizer = cut_before_words();
  }
  std::vector<AddedToken> added = added_tokens(part(file, "added_tokens"), who);
  const SpecialTokens special = special_tokens(config, special_map, who);
  add_missing(special, added);
  tables->added = AddedTokens(std::move(added), tables->vocabulary, tables->normalizer, who);
  apply(special, *tables);
  check_frame(*tables, who);
  return tables;
}

}  // namespace graft::core
