// A tokenizer from the metadata of a .gguf file.
#include "core/base/error.hpp"
#include "core/tensor/gguf.hpp"
#include "core/text/gguf_families.hpp"
#include "core/text/sentencepiece.hpp"
#include "core/text/special_tokens.hpp"
#include "core/text/tables.hpp"

namespace graft::core {
namespace {

enum Type { normal = 1, unknown, control, user_defined, unused, byte };

class Reader {
 public:
  explicit Reader(const fs::path& path) : file_(Gguf::open(path)), who_(path.string()) {}

  std::shared_ptr<Tokenizer::Tables> run() {
    if (file_.has("tokenizer.huggingface.json")) {
      auto tables = tables_from_json(file_.text("tokenizer.huggingface.json"), {}, {}, who_);
      const auto named = [&](std::string_view name, std::optional<std::int32_t>& token) {
        const std::int64_t id = file_.integer(key(name), -1);
        if (!token && id >= 0 && id < tables->size()) token = static_cast<std::int32_t>(id);
      };
      named("bos_token_id", tables->bos);
      named("eos_token_id", tables->eos);
      named("unknown_token_id", tables->unk);
      named("padding_token_id", tables->pad);
      return tables;
    }
    if (!file_.has("tokenizer.ggml.model")) {
      throw Error(GRAFT_E_NOT_FOUND,
                  cat(who_, " holds no tokenizer: 'tokenizer.ggml.model' is missing."));
    }
    const std::string_view model = file_.text("tokenizer.ggml.model");
    if (model != "gpt2" && model != "llama" && model != "bert" && model != "t5") {
      throw Error(GRAFT_E_INVALID,
                  cat(who_, ": the tokenizer '", model, "' (tokenizer.ggml.model) is not ",
                      "supported; supported are gpt2, llama, bert, t5."));
    }
    tokens_ = file_.texts("tokenizer.ggml.tokens");
    if (model == "gpt2") return byte_level_bpe();
    if (model == "bert") return word_piece();
    return sentencepiece(model == "t5");
  }

 private:
  static std::string key(std::string_view name) { return cat("tokenizer.ggml.", name); }

  std::int64_t count() const { return static_cast<std::int64_t>(tokens_.size()); }

  /// `otherwise`, where the file is silent and has so many tokens.
  std::optional<std::int32_t> id(std::string_view name, std::int64_t otherwise = -1) const {
    if (!file_.has(key(name))) {
      if (otherwise < 0 || otherwise >= count()) return std::nullopt;
      return static_cast<std::int32_t>(otherwise);
    }
    const std::int64_t id = file_.integer(key(name));
    if (id < 0 || id >= count()) {
      throw Error(GRAFT_E_INVALID, cat(who_, ": ", key(name), " = ", id, " is no token; ids are 0 ",
                                       "to ", count() - 1, "."));
    }
    return static_cast<std::int32_t>(id);
  }

  std::vector<Vocabulary::Entry> entries() const {
    std::vector<Vocabulary::Entry> out;
    for (const std::string_view token : tokens_) {
      out.push_back({token, static_cast<std::int64_t>(out.size())});
    }
    return out;
  }

  /// Types by id; all normal where the file has none.
  std::vector<std::int64_t> types() const {
    if (!file_.has(key("token_type"))) return std::vector<std::int64_t>(tokens_.size(), normal);
    std::vector<std::int64_t> out = file_.integers(key("token_type"));
    if (out.size() == tokens_.size()) return out;
    throw Error(GRAFT_E_INVALID, cat(who_, ": tokenizer.ggml.token_type has ", out.size(),
                                     " entries for ", tokens_.size(), " tokens."));
  }

  /// Control tokens and those that a user defined are found in the text before all else.
  std::vector<AddedToken> added_tokens(const Vocabulary& vocabulary) const {
    std::vector<AddedToken> out;
    const std::vector<std::int64_t> all = types();
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i] != control && all[i] != user_defined) continue;
      AddedToken token;
      token.content = vocabulary.piece(static_cast<std::int64_t>(i));
      token.normalized = false;
      token.special = all[i] == control;
      out.push_back(std::move(token));
    }
    return out;
  }

  std::vector<Bpe::Merge> merges() const {
    std::vector<Bpe::Merge> out;
    for (const std::string_view line : file_.texts(key("merges"))) {
      const std::size_t space = line.find(' ', 1);
      if (space == line.npos) {
        throw Error(GRAFT_E_INVALID, cat(who_, ": merge ", out.size(), ", '", line,
                                         "', must be two pieces and a space."));
      }
      out.push_back({line.substr(0, space), line.substr(space + 1)});
    }
    return out;
  }

  void frame(Tokenizer::Tables& tables, bool add_bos, bool add_eos) const {
    const auto framed = [&](const char* name, bool otherwise, std::optional<std::int32_t> token) {
      std::vector<std::int32_t> out;
      if (token && file_.flag(key(name), otherwise)) out.push_back(*token);
      return out;
    };
    tables.post_processor.frames = true;
    tables.post_processor.frame = frame_around(framed("add_bos_token", add_bos, tables.bos),
                                               framed("add_eos_token", add_eos, tables.eos));
  }

  std::shared_ptr<Tokenizer::Tables> byte_level_bpe() const {
    auto tables = std::make_shared<Tokenizer::Tables>();
    const GgufFamily& family = gguf_family(file_.text(key("pre"), "default"), who_);
    if (family.split == GgufFamily::Split::unnamed) {
      tables->notes.push_back(cat(who_, ": the file does not name its pre-tokenizer ",
                                  "(tokenizer.ggml.pre), so its text may be cut into other tokens ",
                                  "than the model was trained on."));
    }
    tables->vocabulary = Vocabulary(entries(), who_);
    BpeOptions options;
    options.ignore_merges = family.ignore_merges;
    tables->model = Bpe(tables->vocabulary, merges(), options, who_);
    if (family.nfc) tables->normalizer = normal_form(true, false);
    tables->pre_tokenizer = pre_tokenizer_of(family.split);
    tables->decoder = Decoder::byte_level();
    tables->added =
        AddedTokens(added_tokens(tables->vocabulary), tables->vocabulary, tables->normalizer, who_);
    tables->bos = id("bos_token_id");
    tables->eos = id("eos_token_id");
    tables->pad = id("padding_token_id");
    tables->unk = id("unknown_token_id");
    frame(*tables, family.add_bos || family.add_sep, family.add_sep);
    return tables;
  }

  /// Tokens are stored with U+2581 before words in place of "##" before what goes on.
  std::shared_ptr<Tokenizer::Tables> word_piece() const {
    auto tables = std::make_shared<Tokenizer::Tables>();
    TextArena arena;
    std::vector<Vocabulary::Entry> all = entries();
    constexpr std::string_view word = "\u2581";
    for (Vocabulary::Entry& entry : all) {
      if (entry.piece.starts_with(word)) {
        entry.piece.remove_prefix(word.size());
      } else if (!(entry.piece.starts_with('[') && entry.piece.ends_with(']'))) {
        entry.piece = arena.keep(cat("##", entry.piece));
      }
    }
    tables->vocabulary = Vocabulary(all, who_);
    tables->unk = id("unknown_token_id", 100);
    if (!tables->unk) {
      throw Error(GRAFT_E_INVALID,
                  cat(who_, ": a bert tokenizer needs ", key("unknown_token_id"), "."));
    }
    tables->model =
        WordPiece(tables->vocabulary, tables->vocabulary.piece(*tables->unk), "##", 100, who_);
    tables->normalizer = bert_normalizer({});
    tables->pre_tokenizer = bert_words();
    tables->decoder = Decoder::of({word_pieces("##", true)});
    tables->added =
        AddedTokens(added_tokens(tables->vocabulary), tables->vocabulary, tables->normalizer, who_);
    const auto cls = file_.has(key("cls_token_id")) ? id("cls_token_id") : id("bos_token_id", 101);
    const auto sep =
        file_.has(key("seperator_token_id")) ? id("seperator_token_id") : id("eos_token_id", 102);
    tables->bos = cls;
    tables->eos = sep;
    tables->pad = id("padding_token_id", 0);
    using What = FramePart::What;
    Frame& around = tables->post_processor.frame;
    if (cls) around.single.push_back({What::special, {*cls}, 0});
    around.single.push_back({What::first, {}, 0});
    if (sep) around.single.push_back({What::special, {*sep}, 0});
    around.pair = around.single;
    around.pair.push_back({What::second, {}, 1});
    if (sep) around.pair.push_back({What::special, {*sep}, 1});
    tables->post_processor.frames = true;
    return tables;
  }

  std::shared_ptr<Tokenizer::Tables> sentencepiece(bool t5) const {
    SentencePieceParts parts;
    parts.unigram = t5;
    parts.pieces = entries();
    parts.scores = file_.floats(key("scores"));
    for (const std::int64_t type : types()) {
      if (type < normal || type > byte) {
        throw Error(GRAFT_E_INVALID,
                    cat(who_, ": tokenizer.ggml.token_type holds ", type, "; there are 1 to 6."));
      }
      parts.types.push_back(static_cast<SentencePieceParts::Type>(type));
    }
    parts.add_prefix = file_.flag(key("add_space_prefix"), true);
    if (t5) {
      parts.remove_extra_spaces = file_.flag(key("remove_extra_whitespaces"), false);
      if (file_.has(key("precompiled_charsmap"))) {
        parts.charsmap = std::string(file_.find(key("precompiled_charsmap"))->bytes);
      }
    }
    parts.bos = id("bos_token_id", t5 ? -1 : 1);
    parts.eos = id("eos_token_id", t5 ? 1 : 2);
    parts.unk = id("unknown_token_id", t5 ? 2 : 0);
    parts.pad = id("padding_token_id", t5 ? 0 : -1);
    parts.add_bos = file_.flag(key("add_bos_token"), !t5);
    parts.add_eos = file_.flag(key("add_eos_token"), t5);
    return tables_from_sentencepiece(parts, who_);
  }

  Gguf file_;
  std::string who_;
  std::vector<std::string_view> tokens_;
};

}  // namespace

std::shared_ptr<Tokenizer::Tables> tables_from_gguf(const fs::path& path) {
  return Reader(path).run();
}

}  // namespace graft::core
