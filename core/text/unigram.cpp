#include "core/text/unigram.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

constexpr double unk_penalty = 10;  // below the worst score
constexpr std::size_t longest_piece = std::size_t{1} << 30;
constexpr std::int32_t no_token = -1;

std::vector<Vocabulary::Entry> entries_of(const Vocabulary& vocabulary) {
  std::vector<Vocabulary::Entry> out;
  for (std::int64_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.has(id)) out.push_back({vocabulary.piece(id), id});
  }
  return out;
}

}  // namespace

Unigram::Unigram(const Vocabulary& vocabulary, const std::vector<double>& scores,
                 std::optional<std::int64_t> unk, bool byte_fallback, std::string_view who)
    : Unigram(vocabulary, tree_of(entries_of(vocabulary), scores), scores, unk, byte_fallback,
              who) {}

Trie Unigram::tree_of(std::span<const Vocabulary::Entry> pieces,
                      const std::vector<double>& scores) {
  Trie::Texts texts;
  texts.reserve(pieces.size());
  for (const Vocabulary::Entry& piece : pieces) {
    const auto id = static_cast<std::size_t>(piece.id);
    if (id < scores.size() && !std::isnan(scores[id])) {
      texts.emplace_back(piece.piece, static_cast<std::int32_t>(piece.id));
    }
  }
  return Trie(texts);
}

Unigram::Unigram(const Vocabulary& vocabulary, Trie tree, const std::vector<double>& scores,
                 std::optional<std::int64_t> unk, bool byte_fallback, std::string_view who)
    : trie_(std::move(tree)), scores_(scores), byte_fallback_(byte_fallback) {
  if (unk) {
    if (*unk < 0 || *unk >= static_cast<std::int64_t>(scores.size())) {
      throw Error(GRAFT_E_INVALID, cat(who, ": the unk_id ", *unk, " is no token; ids are below ",
                                       scores.size(), "."));
    }
    unk_ = static_cast<std::int32_t>(*unk);
  }
  double least = std::numeric_limits<double>::max();
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i])) continue;
    if (std::isinf(scores[i])) {
      throw Error(GRAFT_E_INVALID, cat(who, ": the score of token ", i, " is not finite."));
    }
    least = std::min(least, scores[i]);
  }
  unk_score_ = (least == std::numeric_limits<double>::max() ? 0 : least) - unk_penalty;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    constexpr char digits[] = "0123456789ABCDEF";
    const char name[] = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
    byte_ids_[byte] = vocabulary.find({name, sizeof name});
  }
}

void Unigram::encode(const Vocabulary& vocabulary, std::string_view piece, Workspace& workspace,
                     std::vector<Unit>& out) const {
  if (piece.size() > longest_piece) {
    throw Error(GRAFT_E_INVALID, cat("a piece of ", piece.size(), " bytes is too long to encode; ",
                                     "the limit is ", longest_piece, "."));
  }
  // nodes[i]: the best way to write the first i bytes.
  std::vector<Workspace::Node>& nodes = workspace.nodes;
  nodes.assign(piece.size() + 1, {});
  const auto reach = [&](std::size_t from, std::size_t to, double score, std::int32_t id) {
    Workspace::Node& node = nodes[to];
    if (node.start != Workspace::unseen && node.score >= score) return;
    node = {score, id, static_cast<std::uint32_t>(from)};
  };
  for (std::size_t at = 0; at < piece.size();) {
    std::size_t next = at;
    utf8_next(piece, next);
    const double so_far = nodes[at].score;
    bool covered = false;  // some token is this one character
    trie_.matches(piece, at, [&](std::size_t end, std::int32_t id) {
      reach(at, end, so_far + scores_[static_cast<std::size_t>(id)], id);
      covered |= end == next;
    });
    if (!covered) reach(at, next, so_far + unk_score_, no_token);
    at = next;
  }
  std::vector<Unit>& path = workspace.path;
  path.clear();
  for (auto end = static_cast<std::uint32_t>(piece.size()); end > 0;) {
    const Workspace::Node& node = nodes[end];
    const bool unknown = node.id == no_token || node.id == unk_;
    if (unknown && !path.empty() && path.back().id == no_token) {
      path.back().begin = node.start;
    } else {
      path.push_back({unknown ? no_token : node.id, node.start, end});
    }
    end = node.start;
  }
  for (auto unit = path.rbegin(); unit != path.rend(); ++unit) {
    if (unit->id != no_token) {
      out.push_back(*unit);
    } else {
      add_unknown(vocabulary, piece, *unit, out);
    }
  }
}

void Unigram::add_unknown(const Vocabulary& vocabulary, std::string_view piece, Unit unknown,
                          std::vector<Unit>& out) const {
  const std::string_view text = piece.substr(unknown.begin, unknown.end - unknown.begin);
  const auto id_of_byte = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  const std::int32_t whole = vocabulary.find(text);
  if (whole >= 0 && !std::isnan(scores_[static_cast<std::size_t>(whole)])) {
    out.push_back({whole, unknown.begin, unknown.end});
  } else if (byte_fallback_ && std::all_of(text.begin(), text.end(),
                                           [&](char byte) { return id_of_byte(byte) >= 0; })) {
    for (const char byte : text) out.push_back({id_of_byte(byte), unknown.begin, unknown.end});
  } else if (unk_ >= 0) {
    out.push_back({unk_, unknown.begin, unknown.end});
  } else {
    throw Error(GRAFT_E_INVALID, cat("the tokenizer has neither a token for '", text,
                                     "' nor one for what is unknown (unk_id)."));
  }
}

}  // namespace graft::core
