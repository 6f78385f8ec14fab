#include "core/text/sentencepiece.hpp"

#include <limits>

#include "core/base/error.hpp"
#include "core/text/special_tokens.hpp"

namespace graft::core {
namespace {

constexpr std::string_view lower_line = "\u2581";

using Type = SentencePieceParts::Type;

Normalizer normalizer_of(const SentencePieceParts& parts, std::string_view who) {
  std::vector<Normalizer> steps;
  if (!parts.charsmap.empty()) steps.push_back(charsmap_normalizer(parts.charsmap, who));
  if (parts.remove_extra_spaces) steps.emplace_back(single_spaces);
  if (parts.add_prefix) steps.push_back(prepend_text(std::string(lower_line)));
  steps.push_back(replace_text(" ", std::string(lower_line)));
  return one_after_the_other(std::move(steps));
}

TextModel model_of(const SentencePieceParts& parts, const Vocabulary& vocabulary,
                   std::string_view who) {
  // Text is made of normal pieces: "<0x0A>" written out is no byte.
  std::vector<float> scores = parts.scores;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const bool normal = parts.types[i] == Type::normal || parts.types[i] == Type::user_defined;
    if (!normal) scores[i] = std::numeric_limits<float>::quiet_NaN();
  }
  if (parts.unigram) {
    return Unigram(vocabulary, {scores.begin(), scores.end()}, parts.unk, true, who);
  }
  BpeOptions options;
  options.byte_fallback = true;
  options.fuse_unk = true;
  if (parts.unk) options.unk = vocabulary.piece(*parts.unk);
  return Bpe::by_score(vocabulary, scores, std::move(options), who);
}

Decoder decoder_of(const SentencePieceParts& parts) {
  std::vector<DecoderStep> steps;
  steps.push_back(replace_in_pieces(std::string(lower_line), " "));
  steps.push_back(bytes_of_fallback());
  steps.push_back(join_pieces());
  if (parts.add_prefix) steps.push_back(strip_pieces(" ", 1, 0));
  return Decoder::of(std::move(steps));
}

std::vector<AddedToken> added_of(const SentencePieceParts& parts) {
  std::vector<AddedToken> out;
  for (std::size_t i = 0; i < parts.types.size(); ++i) {
    if (parts.types[i] != Type::control && parts.types[i] != Type::user_defined &&
        parts.types[i] != Type::unknown) {
      continue;
    }
    AddedToken token;
    token.content = parts.pieces[i].piece;
    token.special = parts.types[i] != Type::user_defined;
    // Pieces with U+2581 stand for text with spaces, which is only so once it is normal.
    token.normalized =
        !token.special && !parts.add_prefix && token.content.find(lower_line) != token.content.npos;
    out.push_back(std::move(token));
  }
  out.insert(out.end(), parts.added.begin(), parts.added.end());
  return out;
}

}  // namespace

std::shared_ptr<Tokenizer::Tables> tables_from_sentencepiece(const SentencePieceParts& parts,
                                                             std::string_view who) {
  if (parts.scores.size() != parts.pieces.size() || parts.types.size() != parts.pieces.size()) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": ", parts.pieces.size(), " tokens have ", parts.scores.size(),
                    " scores and ", parts.types.size(), " types; all three must be as many."));
  }
  auto tables = std::make_shared<Tokenizer::Tables>();
  tables->vocabulary = Vocabulary(parts.pieces, who);
  tables->model = model_of(parts, tables->vocabulary, who);
  tables->normalizer = normalizer_of(parts, who);
  if (has_separate_words(tables->vocabulary)) tables->pre_tokenizer = cut_before_words();
  tables->decoder = decoder_of(parts);
  tables->added = AddedTokens(added_of(parts), tables->vocabulary, tables->normalizer, who);
  tables->bos = parts.bos;
  tables->eos = parts.eos;
  tables->pad = parts.pad;
  tables->unk = parts.unk;
  std::vector<std::int32_t> before, after;
  if (parts.add_bos && parts.bos) before = {*parts.bos};
  if (parts.add_eos && parts.eos) after = {*parts.eos};
  tables->post_processor.frames = true;
  tables->post_processor.frame = frame_around(before, after);
  return tables;
}

std::shared_ptr<Tokenizer::Tables> tables_from_model_file(std::string_view bytes,
                                                          const Json& config,
                                                          const Json& special_map,
                                                          std::string_view who) {
  SentencePieceParts parts = read_sentencepiece(bytes, who);
  const SpecialTokens special = special_tokens(config, special_map, who);
  add_missing(special, parts.added);
  // Without a configuration, what the first models of this kind had.
  parts.add_bos = special.add_bos.value_or(!parts.unigram);
  parts.add_eos = special.add_eos.value_or(parts.unigram);
  const auto tables = tables_from_sentencepiece(parts, who);
  const auto named = [&](const char* name, std::optional<std::int32_t>& id) {
    const auto found = special.names.find(name);
    if (found != special.names.end()) id = tables->id_of(found->second);
  };
  named("bos_token", tables->bos);
  named("eos_token", tables->eos);
  named("pad_token", tables->pad);
  named("unk_token", tables->unk);
  tables->cleans_up_spaces = special.cleans_up_spaces;
  return tables;
}

bool has_separate_words(const Vocabulary& vocabulary) {
  if (vocabulary.find(lower_line) < 0) return false;
  for (std::int64_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view piece = vocabulary.piece(id);
    std::size_t start = 0;  // behind the lower lines that it begins with
    while (piece.substr(start).starts_with(lower_line)) start += lower_line.size();
    if (start < piece.size() && piece.find(lower_line, start) != piece.npos) return false;
  }
  return true;
}

PreTokenizer cut_before_words() {
  return [](Pieces& pieces) {
    std::vector<TextRange> out;
    for (const TextRange& range : pieces.ranges) {
      const std::string_view text = pieces.text.text.substr(0, range.end);
      std::size_t begin = range.begin;
      for (std::size_t at = begin; at < range.end;) {
        while (text.substr(at).starts_with(lower_line)) at += lower_line.size();
        at = std::min(text.find(lower_line, at), range.end);
        out.push_back({begin, at});
        begin = at;
      }
    }
    pieces.ranges = std::move(out);
  };
}

}  // namespace graft::core
