#include "core/text/tokenizer_to_gguf.hpp"

#include <algorithm>
#include <map>

#include "core/base/error.hpp"
#include "core/text/chat_template.hpp"
#include "core/text/gguf_families.hpp"
#include "core/text/json_reader.hpp"
#include "core/text/sentencepiece.hpp"
#include "core/text/tables.hpp"

namespace graft::core {
namespace {

enum Type : std::int32_t { normal = 1, unknown, control, user_defined, unused, byte };

/// Texts that pre-tokenizers cut differently, with what tokenizers add and what they normalise.
constexpr std::string_view probes[] = {
    "Hello, world! It's DON'T and don't, we'LL see I'm you've 'S 's.",
    "12 345 6789 1234567 3.14159, 0x1F; 1,000,000 \xc2\xbd \xd9\xa3\xd9\xa4\xd9\xa5\xd9\xa6",
    "  two  spaces   three\ttabs\t\t\nlines\n\n\n  indented\r\n\r\n end   ",
    "a/b//c snake_case camelCase __init__(self, *args) -> None: {\"k\": [1, 2]} == != <= && ||",
    "caf\xc3\xa9 cafe\xcc\x81 na\xc3\xafve \xc3\x85ngstr\xc3\xb6m \xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2"
    "\xd0\xb5\xd1\x82 \xce\xb1\xce\xb2\xce\xb3",
    "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c \xe3\x81\x93\xe3\x82\x93 \xed\x95\x9c\xea\xb8"
    "\x80 \xf0\x9f\x98\x80\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd \xe2\x80\x9cquoted\xe2\x80\x9d \xe2\x80"
    "\x94 \xe2\x80\xa6",
    "$5.00 + 50% = ~`^<>| #tag @name a-b c&d \\n ()[]{}.,;:!?",
    "\xc2\xa0nbsp\xe2\x80\x83wide \xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\xa8\xe0\xa5\x8d\xe0\xa4\xa6 "
    "\xe0\xb8\xa0\xe0\xb8\xb2\xe0\xb8\xa9\xe0\xb8\xb2",
    "x",
    ""};

std::string key(std::string_view name) {
  return cat("tokenizer.ggml.", name);
}

std::vector<std::string> cut(const PreTokenizer& pre, std::string_view text, bool* bytes) {
  Pieces pieces;
  pieces.text = TextView(text);
  pieces.ranges.push_back({0, text.size()});
  if (pre) pre(pieces);
  *bytes = pieces.byte_level;
  std::vector<std::string> out;
  for (const TextRange& range : pieces.ranges) {
    out.emplace_back(pieces.text.text.substr(range.begin, range.end - range.begin));
  }
  return out;
}

bool is_byte_level(const PreTokenizer& pre) {
  bool bytes = false;
  cut(pre, "x", &bytes);
  return bytes;
}

bool same_cuts(const PreTokenizer& a, const PreTokenizer& b) {
  for (const std::string_view probe : probes) {
    bool one = false, other = false;
    if (cut(a, probe, &one) != cut(b, probe, &other) || one != other) return false;
  }
  return true;
}

/// Whether letters and accents become one character.
bool composes(const Normalizer& normalizer) {
  AlignedText out;
  constexpr std::string_view apart = "e\xcc\x81";
  return normalizer && normalizer(TextView(apart), out) && TextView(out).text == "\xc3\xa9";
}

/// tokenizer.ggml.pre, or "" where no name stands for that.
std::string pre_name(const Tokenizer::Tables& tables, bool ignore_merges) {
  for (const GgufFamily& family : gguf_families()) {
    if (family.split == GgufFamily::Split::unnamed || family.add_sep ||
        family.nfc != composes(tables.normalizer) || family.ignore_merges != ignore_merges ||
        !same_cuts(tables.pre_tokenizer, pre_tokenizer_of(family.split))) {
      continue;
    }
    return std::string(family.names.substr(0, family.names.find(' ')));
  }
  return "";
}

bool is_byte_piece(std::string_view piece) {
  return piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with(">");
}

class Writer {
 public:
  Writer(const Tokenizer& tokenizer, std::int64_t vocab)
      : tokenizer_(tokenizer), tables_(tokenizer.tables()), vocab_(vocab) {}

  void byte_level_bpe(GgufWriter& out, const TokenizerParts& parts, const std::string& pre) const {
    out.add(key("model"), "gpt2");
    out.add(key("pre"), pre);
    pieces(out, false);
    std::vector<std::string> merges;
    for (const Bpe::Merge& merge : parts.merges)
      merges.push_back(cat(merge.left, " ", merge.right));
    out.add(key("merges"), merges);
    special(out);
  }

  /// Where a file has merges and no scores, the merge that is done first has the largest score.
  void sentencepiece(GgufWriter& out, const std::map<std::string_view, float>& scores) const {
    out.add(key("model"), "llama");
    out.add(key("pre"), "default");
    pieces(out, true);
    std::vector<float> all;
    for (std::int64_t id = 0; id < vocab_; ++id) {
      const auto found = scores.find(tables_.piece(id));
      all.push_back(found == scores.end() ? 0 : found->second);
    }
    out.add(key("scores"), all);
    const std::vector<std::int32_t> ids = tokenizer_.ids("x", false);
    const bool spaced = !ids.empty() && tokenizer_.piece(ids[0]).starts_with("\xe2\x96\x81");
    out.add(key("add_space_prefix"), spaced);
    special(out);
  }

  /// The tokens with a part of their own.
  void special(GgufWriter& out) const {
    const auto id = [&](std::string_view name, std::optional<std::int32_t> token) {
      if (token) out.add(key(name), static_cast<std::uint32_t>(*token));
    };
    id("bos_token_id", tables_.bos);
    id("eos_token_id", tables_.eos);
    id("unknown_token_id", tables_.unk);
    id("padding_token_id", tables_.pad);
    const std::vector<std::int32_t> bare = tokenizer_.ids("x", false);
    const std::vector<std::int32_t> framed = tokenizer_.ids("x", true);
    const bool longer = framed.size() > bare.size();
    out.add(key("add_bos_token"), longer && tables_.bos && framed.front() == *tables_.bos);
    out.add(key("add_eos_token"), longer && tables_.eos && framed.back() == *tables_.eos);
  }

 private:
  void pieces(GgufWriter& out, bool with_bytes) const {
    std::vector<std::string> tokens;
    std::vector<std::int32_t> types;
    for (std::int64_t id = 0; id < vocab_; ++id) {
      const std::string_view piece = tables_.piece(id);
      const AddedToken* added = tables_.added.find(id);
      Type type = normal;
      if (piece.data() == nullptr) {
        type = unused;
      } else if (with_bytes && tables_.unk && *tables_.unk == id) {
        type = unknown;
      } else if (with_bytes && is_byte_piece(piece)) {
        type = byte;
      } else if (added != nullptr) {
        type = added->special ? control : user_defined;
      }
      tokens.push_back(piece.data() == nullptr ? cat("[PAD", id, "]") : std::string(piece));
      types.push_back(type);
    }
    out.add(key("tokens"), tokens);
    out.add(key("token_type"), types);
  }

  const Tokenizer& tokenizer_;
  const Tokenizer::Tables& tables_;
  std::int64_t vocab_;
};

bool same_tokens(const Tokenizer& a, const Tokenizer& b) {
  std::vector<std::string> texts(std::begin(probes), std::end(probes));
  std::string marked = "Text";
  for (const AddedToken* token : a.tables().added.all()) {
    if (marked.size() > 4096) break;
    marked += cat(token->content, " more ", token->content);
  }
  texts.push_back(marked);
  for (const std::string& text : texts) {
    for (const bool special : {false, true}) {
      if (a.ids(text, special) != b.ids(text, special)) return false;
    }
  }
  return true;
}

/// Scores of the pieces of a BPE without byte level: minus the rank of the first merge that gives one.
std::map<std::string_view, float> scores_of(const TokenizerParts& parts,
                                            const Tokenizer::Tables& tables) {
  std::map<std::string_view, float> scores;
  for (std::size_t i = 0; i < parts.merges.size(); ++i) {
    const std::string whole = cat(parts.merges[i].left, parts.merges[i].right);
    const std::int32_t id = tables.vocabulary.find(whole);
    if (id >= 0) scores.emplace(tables.vocabulary.piece(id), -static_cast<float>(i + 1));
  }
  return scores;
}

/// Adds the keys of the tokenizer in ggml's own form; false where it has none.
bool add_own_form(GgufWriter& writer, const fs::path& folder, const Tokenizer& tokenizer,
                  std::int64_t vocab) {
  const Writer out(tokenizer, vocab);
  const Tokenizer::Tables& tables = tokenizer.tables();
  if (!fs::exists(folder / "tokenizer.json")) {
    const MappedFile file = MappedFile::open(folder / "tokenizer.model");
    const SentencePieceParts parts = read_sentencepiece(file.text(), file.path().string());
    if (parts.unigram) return false;
    std::map<std::string_view, float> scores;
    for (std::size_t i = 0; i < parts.pieces.size(); ++i) {
      scores.emplace(parts.pieces[i].piece, parts.scores.at(i));
    }
    out.sentencepiece(writer, scores);
    return true;
  }
  const MappedFile file = MappedFile::open(folder / "tokenizer.json");
  const TokenizerParts parts = read_tokenizer_json(file.text(), file.path().string());
  if (parts.kind != TokenizerParts::Kind::ids || parts.merges.empty()) return false;
  if (!is_byte_level(tables.pre_tokenizer)) {
    out.sentencepiece(writer, scores_of(parts, tables));
    return true;
  }
  const Json model = parts.rest.value("model", Json::object());
  const std::string pre = pre_name(tables, model.value("ignore_merges", Json(false)) == true);
  if (pre.empty()) return false;
  out.byte_level_bpe(writer, parts, pre);
  return true;
}

void add_templates(GgufWriter& writer, const fs::path& folder) {
  const std::optional<ChatTemplate> chat = ChatTemplate::load(folder);
  if (!chat) return;
  std::vector<std::string> others;
  writer.add("tokenizer.chat_template", chat->source());
  for (const auto& [name, source] : chat->sources()) {
    if (name == "default") continue;
    others.push_back(name);
    writer.add(cat("tokenizer.chat_template.", name), source);
  }
  if (!others.empty()) writer.add("tokenizer.chat_templates", others);
}

struct Removed {
  fs::path path;
  ~Removed() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
};

}  // namespace

std::vector<std::string> add_tokenizer(GgufWriter& writer, const fs::path& folder,
                                       std::int64_t vocab, const fs::path& scratch) {
  if (!fs::exists(folder / "tokenizer.json") && !fs::exists(folder / "tokenizer.model")) {
    return {cat("'", folder.string(), "' has no tokenizer, so the file gets none.")};
  }
  const Tokenizer tokenizer = Tokenizer::load(folder);
  GgufWriter own;
  bool same = add_own_form(own, folder, tokenizer, vocab);
  if (same) {
    const Removed removed{scratch};
    own.write(scratch);
    try {
      same = same_tokens(tokenizer, Tokenizer::load(scratch));
    } catch (const Error&) {  // pieces that are there twice, and the like
      same = false;
    }
  }
  std::vector<std::string> notes;
  if (!add_own_form(writer, folder, tokenizer, vocab)) {
    Writer(tokenizer, vocab).special(writer);
  }
  if (!same) {
    if (!fs::exists(folder / "tokenizer.json")) {
      throw Error(GRAFT_UNSUPPORTED, cat("the tokenizer of '", folder.string(),
                                         "' has no form that GGUF has a place for."));
    }
    writer.add("tokenizer.huggingface.json", read_file(folder / "tokenizer.json"));
    notes.push_back(
        "the tokenizer is none that GGUF has a form for: its tokenizer.json is in the file whole, "
        "which graft reads; other programs may cut text into other tokens.");
  }
  add_templates(writer, folder);
  return notes;
}

}  // namespace graft::core
