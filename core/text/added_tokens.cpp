#include "core/text/added_tokens.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/text/unicode.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {

std::int32_t Trie::child_of(std::int32_t node, char byte) const {
  std::int32_t child = nodes_[static_cast<std::size_t>(node)].child;
  while (child >= 0 && nodes_[static_cast<std::size_t>(child)].byte != byte) {
    child = nodes_[static_cast<std::size_t>(child)].sibling;
  }
  return child;
}

void Trie::add(std::string_view content, std::int32_t value) {
  std::int32_t at = 0;
  for (const char byte : content) {
    std::int32_t next = child_of(at, byte);
    if (next < 0) {
      next = static_cast<std::int32_t>(nodes_.size());
      Node& parent = nodes_[static_cast<std::size_t>(at)];
      const Node child{-1, parent.child, -1, byte};
      parent.child = next;
      nodes_.push_back(child);
    }
    at = next;
  }
  nodes_[static_cast<std::size_t>(at)].value = value;
}

std::pair<std::int32_t, std::size_t> Trie::longest(std::string_view text, std::size_t at) const {
  std::pair<std::int32_t, std::size_t> best{-1, 0};
  std::int32_t node = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    node = child_of(node, text[i]);
    if (node < 0) break;
    const std::int32_t value = nodes_[static_cast<std::size_t>(node)].value;
    if (value >= 0) best = {value, i + 1 - at};
  }
  return best;
}

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
  for (const auto& [content, index] : by_content_) {
    AddedToken& token = tokens_[index];
    AlignedText normal;
    if (token.normalized && normalizer && normalizer({content}, normal)) token.normal = normal.text;
    (token.normalized ? normalized_ : raw_).add(token.decoded(), static_cast<std::int32_t>(index));
  }
}

void AddedTokens::split(std::string_view text, bool normalized, std::vector<Segment>& out) const {
  const Trie& trie = normalized ? normalized_ : raw_;
  std::size_t done = 0;  // all before it is in `out`
  for (std::size_t at = 0; at < text.size() && !trie.empty();) {
    const auto [index, length] = trie.longest(text, at);
    if (index < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(index)];
    std::size_t begin = at, end = at + length;
    at = end;
    if (token.single_word && ((begin > 0 && is_word_character(utf8_before(text, begin))) ||
                              (end < text.size() && is_word_character(text, end)))) {
      continue;
    }
    // A token may begin in white space that the one before it took; then both stand for it.
    if (token.lstrip) begin = std::min(std::max(begin, done), end);
    while (token.lstrip && begin > done && is_white_space(utf8_before(text, begin))) {
      do --begin;
      while (is_utf8_continuation(text[begin]));
    }
    while (token.rstrip && end < text.size()) {
      std::size_t next = end;
      if (!is_white_space(utf8_next(text, next))) break;
      end = next;
    }
    if (done < begin) out.push_back({{done, begin}, nullptr});
    out.push_back({{begin, end}, &token});
    done = end;
  }
  if (done < text.size()) out.push_back({{done, text.size()}, nullptr});
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
