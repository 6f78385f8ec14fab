#include "core/text/tokenizer.hpp"

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/text/byte_alphabet.hpp"
#include "core/text/tables.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

/// One call of encode(): the pipeline over one text.
class Encoding {
 public:
  explicit Encoding(const Tokenizer::Tables& tables)
      : tables_(tables), memory_(tables.memories.take()) {}
  ~Encoding() { tables_.memories.give(std::move(memory_)); }
  Encoding(const Encoding&) = delete;
  Encoding& operator=(const Encoding&) = delete;

  /// `text` is what the caller gave, `input` the same with invalid UTF-8 replaced.
  Sequence run(std::string_view text, const TextView& input) {
    tokens_.reserve(input.text.size() / 4);
    for_segments(input, false, [this](const TextView& part) {
      AlignedText normal;
      const bool changed = tables_.normalizer && tables_.normalizer(part, normal);
      for_segments(changed ? TextView(normal) : part, true,
                   [this](const TextView& rest) { tokenize(rest); });
    });
    return {text, std::move(tokens_), std::move(found_)};
  }

 private:
  /// Adds the added tokens in `text`, and calls other(part) for what lies between them.
  template <class Other>
  void for_segments(const TextView& text, bool normalized, const Other& other) {
    std::vector<Segment> segments;
    tables_.added.split(text.text, normalized, segments);
    for (const Segment& segment : segments) {
      const TextRange range = segment.range;
      if (segment.token == nullptr) {
        other(text.part(range.begin, range.end));
      } else if (range.begin < range.end) {
        if (tables_.post_processor.trims) {
          found_.push_back({tokens_.size(),
                            std::string(text.text.substr(range.begin, range.end - range.begin))});
        }
        add(segment.token->id, text.source(range.begin, range.end));
      }
    }
  }

  void tokenize(const TextView& text) {
    Pieces pieces;
    pieces.text = text;
    pieces.ranges.push_back({0, text.text.size()});
    if (tables_.pre_tokenizer) tables_.pre_tokenizer(pieces);
    for (const TextRange& range : pieces.ranges) {
      const std::string_view piece = pieces.text.text.substr(range.begin, range.end - range.begin);
      const std::vector<Unit>& units =
          memory_->encode(tables_.model, tables_.vocabulary, piece, pieces.byte_level);
      if (pieces.byte_level && !units.empty() && units.back().end < piece.size()) {
        add_with_gaps(pieces.text.part(range.begin, range.end), units);
        continue;
      }
      for (const Unit& unit : units) {
        add(unit.id, pieces.text.source(range.begin + unit.begin, range.begin + unit.end));
      }
    }
  }

  /// Bytes outside the vocabulary are dropped, and what follows them in the piece moves up: each
  /// token covers as many bytes of the alphabet's text as it has, from the end of the one before.
  void add_with_gaps(const TextView& piece, const std::vector<Unit>& units) {
    std::vector<std::size_t> byte_at;  // by place in the alphabet's text
    for (std::size_t i = 0; i < piece.text.size(); ++i) {
      byte_at.insert(byte_at.end(), text_of_byte(static_cast<unsigned char>(piece.text[i])).size(),
                     i);
    }
    std::size_t at = 0;
    for (const Unit& unit : units) {
      const std::size_t end =
          std::min(byte_at.size(), at + tables_.vocabulary.piece(unit.id).size());
      add(unit.id, piece.source(byte_at[at], byte_at[end - 1] + 1));
      at = end;
    }
  }

  void add(std::int32_t id, SourceSpan span) {
    Token token;
    token.id = id;
    token.begin = span.begin;
    token.end = span.end;
    tokens_.push_back(token);
  }

  const Tokenizer::Tables& tables_;
  std::unique_ptr<ModelMemory> memory_;
  std::vector<Token> tokens_;
  std::vector<FoundToken> found_;  // where the post-processor asks for them
};

Sequence encoded(const Tokenizer::Tables& tables, std::string_view text) {
  Encoding encoding(tables);
  if (is_utf8(text)) return encoding.run(text, TextView(text));
  const AlignedText repaired = repair_utf8(text);
  return encoding.run(text, TextView(repaired));
}

std::vector<Token> processed(const Tokenizer::Tables& tables, std::vector<Sequence> sequences,
                             bool add_special) {
  const auto piece_of = [&](std::int32_t id) { return tables.piece(id); };
  return tables.post_processor.apply(std::move(sequences), piece_of, add_special);
}

/// An object, or null where there is no such file.
Json object_in(const fs::path& file) {
  if (!fs::exists(file)) return {};
  Json out = parse_json(read_file(file), file.string());
  if (out.is_object()) return out;
  throw Error(GRAFT_E_INVALID, cat(file.string(), ": must be an object."));
}

}  // namespace

std::unique_ptr<ModelMemory> ModelMemories::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return std::make_unique<ModelMemory>();
  std::unique_ptr<ModelMemory> out = std::move(free_.back());
  free_.pop_back();
  return out;
}

void ModelMemories::give(std::unique_ptr<ModelMemory> memory) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(memory));
}

std::string_view Tokenizer::Tables::piece(std::int64_t id) const {
  if (const AddedToken* token = added.find(id)) return token->content;
  return vocabulary.piece(id);
}

std::string_view Tokenizer::Tables::decoded(std::int64_t id) const {
  if (const AddedToken* token = added.find(id)) return token->decoded();
  return vocabulary.piece(id);
}

std::optional<std::int32_t> Tokenizer::Tables::id_of(std::string_view piece) const {
  if (const AddedToken* token = added.find(piece)) return token->id;
  const std::int32_t id = vocabulary.find(piece);
  return id >= 0 ? std::optional(id) : std::nullopt;
}

Tokenizer Tokenizer::load(const fs::path& model) {
  Tokenizer out;
  if (model.extension() == ".gguf") {
    out.tables_ = tables_from_gguf(model);
    return out;
  }
  const fs::path file = model / "tokenizer.json";
  const fs::path pieces = model / "tokenizer.model";
  if (!fs::exists(file) && fs::exists(pieces)) {
    out.tables_ = tables_from_model_file(
        MappedFile::open(pieces).text(), object_in(model / "tokenizer_config.json"),
        object_in(model / "special_tokens_map.json"), pieces.string());
    return out;
  }
  if (!fs::exists(file)) {
    throw Error(GRAFT_E_NOT_FOUND, cat("'", model.string(),
                                       "' holds no tokenizer.json and no tokenizer.model, and is ",
                                       "no .gguf file either."));
  }
  out.tables_ =
      tables_from_json(MappedFile::open(file).text(), object_in(model / "tokenizer_config.json"),
                       object_in(model / "special_tokens_map.json"), file.string());
  return out;
}

std::vector<Token> Tokenizer::encode(std::string_view text, bool add_special) const {
  return processed(*tables_, {encoded(*tables_, text)}, add_special);
}

std::vector<Token> Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                          bool add_special) const {
  return processed(*tables_, {encoded(*tables_, first), encoded(*tables_, second)}, add_special);
}

std::vector<std::int32_t> Tokenizer::ids(std::string_view text, bool add_special) const {
  std::vector<std::int32_t> out;
  for (const Token& token : encode(text, add_special)) out.push_back(token.id);
  return out;
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids, bool skip_special) const {
  std::vector<std::string_view> pieces;
  pieces.reserve(ids.size());
  for (const std::int32_t id : ids) {
    piece(id);  // throws where there is none
    if (!skip_special || !is_special(id)) pieces.push_back(tables_->decoded(id));
  }
  return tables_->decoder.text(pieces);
}

bool Tokenizer::cleans_up_spaces() const {
  return tables_->cleans_up_spaces;
}

std::string_view Tokenizer::piece(std::int32_t id) const {
  const std::string_view piece = tables_->piece(id);
  if (piece.data() != nullptr) return piece;
  throw Error(GRAFT_E_INVALID,
              cat("the tokenizer has no token with the id ", id, "; ids are below ", size(), "."));
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view piece) const {
  return tables_->id_of(piece);
}

bool Tokenizer::is_special(std::int32_t id) const {
  // By its text: some vocabularies have a second id for the text of a special token.
  const std::string_view text = tables_->piece(id);
  const AddedToken* token = text.data() != nullptr ? tables_->added.find(text) : nullptr;
  return token != nullptr && token->special;
}

std::int64_t Tokenizer::size() const {
  return tables_->size();
}
std::optional<std::int32_t> Tokenizer::bos() const {
  return tables_->bos;
}
std::optional<std::int32_t> Tokenizer::eos() const {
  return tables_->eos;
}
std::optional<std::int32_t> Tokenizer::pad() const {
  return tables_->pad;
}
std::optional<std::int32_t> Tokenizer::unk() const {
  return tables_->unk;
}
const std::vector<std::string>& Tokenizer::notes() const {
  return tables_->notes;
}

}  // namespace graft::core
