#include "core/text/aligned.hpp"

#include "core/text/utf8.hpp"

namespace graft::core {

SourceSpan TextView::source(std::size_t begin, std::size_t end) const {
  if (origin != nullptr) return {origin[begin].begin, origin[end - 1].end};
  while (begin > 0 && is_utf8_continuation(text[begin])) --begin;
  while (end < text.size() && is_utf8_continuation(text[end])) ++end;
  return {base + static_cast<std::int64_t>(begin), base + static_cast<std::int64_t>(end)};
}

AlignedText repair_utf8(std::string_view text) {
  AlignedText out;
  out.text.reserve(text.size());
  out.origin.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    std::size_t bad = 0;
    const std::size_t length = utf8_length_at(text, at, &bad);
    const std::size_t used = length != 0 ? length : bad;
    const auto begin = static_cast<std::int64_t>(at);
    out.append(length != 0 ? text.substr(at, length) : utf8_replacement,
               {begin, begin + static_cast<std::int64_t>(used)});
    at += used;
  }
  return out;
}

}  // namespace graft::core
