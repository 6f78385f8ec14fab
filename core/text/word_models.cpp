#include "core/text/word_models.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {

WordPiece::WordPiece(const Vocabulary& vocabulary, std::string_view unk, std::string prefix,
                     std::size_t most_characters, std::string_view who)
    : unk_(vocabulary.find(unk)), prefix_(std::move(prefix)), most_characters_(most_characters) {
  if (unk_ < 0) {
    throw Error(GRAFT_E_INVALID, cat(who, ": the unk_token '", unk, "' is not in the vocabulary."));
  }
  for (std::int64_t id = 0; id < vocabulary.size(); ++id) {
    longest_ = std::max(longest_, vocabulary.piece(id).size());
  }
}

void WordPiece::encode(const Vocabulary& vocabulary, std::string_view piece, std::string& buffer,
                       std::vector<Unit>& out) const {
  const std::size_t before = out.size();
  const auto size = static_cast<std::uint32_t>(piece.size());
  const auto characters = static_cast<std::size_t>(
      std::count_if(piece.begin(), piece.end(), [](char b) { return !is_utf8_continuation(b); }));
  std::size_t at = 0;
  while (characters <= most_characters_ && at < piece.size()) {
    buffer.assign(at > 0 ? prefix_ : "");
    const std::size_t own = buffer.size();
    buffer.append(piece.substr(at, longest_));
    std::size_t end = buffer.size();
    std::int32_t id = -1;
    for (; end > own; --end) {
      if (end < buffer.size() && is_utf8_continuation(buffer[end])) continue;
      id = vocabulary.find(std::string_view(buffer).substr(0, end));
      if (id >= 0) break;
    }
    if (id < 0) break;
    const std::size_t next = at + end - own;
    out.push_back({id, static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(next)});
    at = next;
  }
  if (at == piece.size()) return;
  out.resize(before);
  out.push_back({unk_, 0, size});
}

}  // namespace graft::core
