#include "core/text/added_tokens.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/text/unicode.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Vocabulary& model,
                         const Normalizer& normalizer, std::string_view who)
    : tokens_(std::move(tokens)) {
  std::int64_t next = model.count();
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    AddedToken& token = tokens_[i];
    if (token.content.empty()) continue;
    const auto known = by_content_.find(token.content);
    if (known != by_content_.end()) {
      token.id = tokens_[known->second].id;  // The later description counts.
    } else {
      token.id = model.find(token.content);
      if (token.id < 0) token.id = static_cast<std::int32_t>(next++);
      if (model.has(token.id) && model.piece(token.id) != token.content) {
        throw Error(GRAFT_E_INVALID,
                    cat(who, ": the added token '", token.content, "' would get the id ", token.id,
                        ", which is '", model.piece(token.id), "' in the vocabulary."));
      }
    }
    by_content_[token.content] = i;
    by_id_[token.id] = i;
  }
  Trie::Texts normalized, raw;
  for (const auto& [content, index] : by_content_) {
    AddedToken& token = tokens_[index];
    AlignedText normal;
    const bool changed = token.normalized && normalizer && normalizer(TextView(content), normal);
    if (changed) token.normal = normal.text;
    const std::string& wanted = changed ? token.normal : content;
    if (wanted.empty()) continue;
    Finder& finder = token.normalized ? normalized_ : raw_;
    (token.normalized ? normalized : raw).emplace_back(wanted, static_cast<std::int32_t>(index));
    finder.begins[static_cast<unsigned char>(wanted[0])] = true;
  }
  normalized_.trie = Trie(normalized);
  raw_.trie = Trie(raw);
}

namespace {

/// Whether the range could stand alone as a word.
bool is_apart(std::string_view text, TextRange range) {
  return !(range.begin > 0 && is_word_character(utf8_before(text, range.begin))) &&
         !(range.end < text.size() && is_word_character(text, range.end));
}

/// The range with the white space that the token takes, but nothing before `from`.
TextRange with_white_space(std::string_view text, TextRange range, const AddedToken& token,
                           std::size_t from) {
  while (token.rstrip && range.end < text.size()) {
    std::size_t next = range.end;
    if (!is_white_space(utf8_next(text, next))) break;
    range.end = next;
  }
  if (token.lstrip) {
    while (range.begin > from && is_white_space(utf8_before(text, range.begin))) {
      while (is_utf8_continuation(text[--range.begin])) continue;
    }
    // It may begin in white space that the token before it took, and end there: then nothing is left.
    range.begin = std::max(range.begin, std::min(from, range.end));
  }
  return range;
}

}  // namespace

void AddedTokens::split(std::string_view text, bool normalized, std::vector<Segment>& out) const {
  const Finder& finder = normalized ? normalized_ : raw_;
  std::size_t done = 0;  // all before it is in `out`
  for (std::size_t at = 0; at < text.size() && !finder.trie.empty();) {
    if (!finder.begins[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const Trie::Match match = finder.trie.longest(text, at);
    if (match.value < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(match.value)];
    const TextRange found{at, at + match.length};
    at = found.end;
    if (token.single_word && !is_apart(text, found)) continue;
    const TextRange taken = with_white_space(text, found, token, done);
    if (done < taken.begin) out.push_back({{done, taken.begin}, nullptr});
    if (taken.begin < taken.end) out.push_back({taken, &token});
    done = taken.end;
  }
  if (done < text.size()) out.push_back({{done, text.size()}, nullptr});
}

std::vector<const AddedToken*> AddedTokens::all() const {
  std::vector<const AddedToken*> out;
  for (const auto& [id, index] : by_id_) out.push_back(&tokens_[index]);
  return out;
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = by_content_.find(content);
  return found != by_content_.end() ? &tokens_[found->second] : nullptr;
}

const AddedToken* AddedTokens::find(std::int64_t id) const {
  const auto found = by_id_.find(id);
  return found != by_id_.end() ? &tokens_[found->second] : nullptr;
}

}  // namespace graft::core
