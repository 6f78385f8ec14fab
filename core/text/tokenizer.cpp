#include "core/text/tokenizer.hpp"

#include "core/base/error.hpp"
#include "core/text/byte_alphabet.hpp"
#include "core/text/tables.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

/// One call of encode(): the pipeline over one text.
class Encoding {
 public:
  explicit Encoding(const Tokenizer::Tables& tables) : tables_(tables) {}

  void run(const TextView& input) {
    std::vector<Segment> segments;
    tables_.added.split(input.text, false, segments);
    for (const Segment& segment : segments) {
      const TextView part = input.part(segment.range.begin, segment.range.end);
      if (segment.token != nullptr) {
        add_token(*segment.token, part);
      } else {
        normalise(part);
      }
    }
  }
  std::vector<Token>& tokens() { return tokens_; }

 private:
  void add_token(const AddedToken& token, const TextView& part) {
    if (part.text.empty()) return;
    const SourceSpan span = part.source(0, part.text.size());
    tokens_.push_back({token.id, span.begin, span.end});
  }

  void normalise(const TextView& part) {
    AlignedText normal;
    const bool changed = tables_.normalizer && tables_.normalizer(part, normal);
    const TextView text = changed ? normal.view() : part;
    std::vector<Segment> segments;
    tables_.added.split(text.text, true, segments);
    for (const Segment& segment : segments) {
      const TextView rest = text.part(segment.range.begin, segment.range.end);
      if (segment.token != nullptr) {
        add_token(*segment.token, rest);
      } else {
        tokenize(rest);
      }
    }
  }

  void tokenize(const TextView& text) {
    Pieces pieces;
    pieces.text = text;
    pieces.ranges.push_back({0, text.text.size()});
    if (tables_.pre_tokenizer) tables_.pre_tokenizer(pieces);
    for (const TextRange& range : pieces.ranges) {
      const TextView piece = pieces.text.part(range.begin, range.end);
      units_.clear();
      tables_.model.encode(tables_.vocabulary, piece.text, pieces.byte_level, workspace_, units_);
      std::size_t covered = 0;
      for (const Unit& unit : units_) covered += unit.bytes;
      if (pieces.byte_level && covered < piece.text.size()) {
        add_with_gaps(piece);
        continue;
      }
      std::size_t at = 0;
      for (const Unit& unit : units_) {
        add_unit(unit.id, piece.source(at, at + unit.bytes));
        at += unit.bytes;
      }
    }
  }

  /// Bytes outside the vocabulary are dropped, and what follows them in the piece moves up: each
  /// token covers as many bytes of the alphabet's text as it has, from the end of the one before.
  void add_with_gaps(const TextView& piece) {
    std::vector<std::size_t> byte_at;  // by place in the alphabet's text
    for (std::size_t i = 0; i < piece.text.size(); ++i) {
      byte_at.insert(byte_at.end(), text_of_byte(static_cast<unsigned char>(piece.text[i])).size(),
                     i);
    }
    std::size_t at = 0;
    for (const Unit& unit : units_) {
      const std::size_t end =
          std::min(byte_at.size(), at + tables_.vocabulary.piece(unit.id).size());
      add_unit(unit.id, piece.source(byte_at[at], byte_at[end - 1] + 1));
      at = end;
    }
  }

  void add_unit(std::int32_t id, SourceSpan span) { tokens_.push_back({id, span.begin, span.end}); }

  const Tokenizer::Tables& tables_;
  Bpe::Workspace workspace_;
  std::vector<Unit> units_;
  std::vector<Token> tokens_;
};

}  // namespace

std::string_view Tokenizer::Tables::piece(std::int64_t id) const {
  if (const AddedToken* token = added.find(id)) return token->content;
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
  if (!fs::exists(file)) {
    throw Error(GRAFT_E_NOT_FOUND, cat("'", model.string(), "' holds no tokenizer.json, and is no ",
                                       ".gguf file either."));
  }
  const auto tables = tables_from_json(MappedFile::open(file).text(), file.string());
  const fs::path config = model / "tokenizer_config.json";
  if (fs::exists(config)) read_special_names(read_file(config), config.string(), *tables);
  out.tables_ = tables;
  return out;
}

std::vector<Token> Tokenizer::encode(std::string_view text, bool add_special) const {
  Encoding encoding(*tables_);
  if (is_utf8(text)) {
    encoding.run({text});
  } else {
    encoding.run(repair_utf8(text).view());
  }
  if (tables_->post_processor) {
    const auto text_of = [&](const Token& token) {
      if (tables_->added.find(token.id) == nullptr) return tables_->vocabulary.piece(token.id);
      return text.substr(static_cast<std::size_t>(token.begin),
                         static_cast<std::size_t>(token.end - token.begin));
    };
    tables_->post_processor(encoding.tokens(), {text, text_of, add_special});
  }
  return std::move(encoding.tokens());
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
    const std::string_view text = piece(id);
    const AddedToken* added = tables_->added.find(id);
    if (skip_special && added != nullptr && added->special) continue;
    pieces.push_back(added != nullptr ? added->decoded() : text);
  }
  return tables_->decoder.text(pieces);
}

std::string Tokenizer::bytes_of(std::int32_t id) const {
  return tables_->decoder.bytes(piece(id));
}

std::string_view Tokenizer::piece(std::int32_t id) const {
  const std::string_view piece = tables_->piece(id);
  if (piece.data() == nullptr) {
    throw Error(GRAFT_E_INVALID, cat("the tokenizer has no token with the id ", id,
                                     "; ids are below ", size(), "."));
  }
  return piece;
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view piece) const {
  return tables_->id_of(piece);
}

bool Tokenizer::is_special(std::int32_t id) const {
  const AddedToken* token = tables_->added.find(id);
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

}  // namespace graft::core
