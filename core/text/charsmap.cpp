// SentencePiece's precompiled map of characters: a double-array trie (Darts) of texts, and what each
// of them becomes.
#include <utf8proc.h>

#include <cstring>

#include "core/base/error.hpp"
#include "core/text/characters.hpp"
#include "core/text/normalizer.hpp"
#include "core/text/unicode.hpp"

namespace graft::core {
namespace {

class Charsmap {
 public:
  Charsmap(std::string bytes, std::string_view who) {
    std::uint32_t size = 0;
    if (bytes.size() >= sizeof size) std::memcpy(&size, bytes.data(), sizeof size);
    if (size == 0 || size % 4 != 0 || size > bytes.size() - sizeof size) {
      throw Error(GRAFT_E_INVALID, cat(who, ": the precompiled_charsmap of ", bytes.size(),
                                       " bytes tells of a trie of ", size, " bytes."));
    }
    units_.resize(size / 4);
    std::memcpy(units_.data(), bytes.data() + sizeof size, size);
    texts_ = bytes.substr(sizeof size + size);
    if (!is_utf8(texts_)) {
      throw Error(GRAFT_E_INVALID,
                  cat(who, ": the precompiled_charsmap holds texts that are no ", "UTF-8."));
    }
  }

  bool operator()(const TextView& in, AlignedText& out) const {
    std::size_t before = 0;
    const bool changed = rewrite(in, out, before);
    if (before == 0 || out.text.empty()) return changed;
    // What is taken out before anything is written is not counted: all that follows stands for what is so many characters
    // before its own.
    AlignedText plain;
    rewrite(TextView(in.text), plain, before);
    const TextView written(plain);
    Rewriter writer(in, out);
    for (std::size_t at = 0; at < plain.text.size();) {
      const std::size_t from = at;
      utf8_next(plain.text, at);
      auto begin = static_cast<std::size_t>(written.source(from, at).begin);
      for (std::size_t i = 0; i < before; ++i) {
        do --begin;
        while (is_utf8_continuation(in.text[begin]));
      }
      std::size_t end = begin;
      utf8_next(in.text, end);
      writer.put(std::string_view(plain.text).substr(from, at - from), begin, end);
    }
    return true;
  }

 private:
  /// `before` gets the number of characters that are taken out before anything is written.
  bool rewrite(const TextView& in, AlignedText& out, std::size_t& before) const {
    const std::string_view text = in.text;
    std::optional<Rewriter> writer;
    std::size_t kept = 0;
    before = 0;
    bool last_is_over = false;  // the last character written is more than what it stands for had
    const auto replace = [&](std::size_t begin, std::size_t end, std::string_view by) {
      if (by == text.substr(begin, end - begin)) return;
      if (!writer) writer.emplace(in, out);
      writer->keep(kept, begin);
      const bool follows = kept == begin;
      kept = end;
      if (by.empty()) {
        std::size_t first = begin;
        utf8_next(text, first);
        if (out.text.empty()) before += count(text.substr(begin, end - begin));
        if (follows && last_is_over) writer->restate(in.source(begin, first));
        last_is_over = false;
        return;
      }
      // Old and new characters go in step; what is over belongs to the last of the others.
      std::size_t olds = count(text.substr(begin, end - begin)), news = count(by);
      CharacterFlow flow(in, begin, end, *writer);
      for (std::size_t at = 0; at < by.size(); --news) {
        const std::size_t uses = news == 1 ? olds : olds > 0 ? 1 : 0;
        olds -= uses;
        flow.put(utf8_next(by, at), uses);
        last_is_over = uses == 0;
      }
    };
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = cluster_end(text, at);
      const std::optional<std::string_view> whole =
          end - at < 6 ? find(text.substr(at, end - at)) : std::nullopt;
      if (whole) {
        replace(at, end, *whole);
        at = end;
      }
      while (at < end) {
        std::size_t next = at;
        utf8_next(text, next);
        if (const auto one = find(text.substr(at, next - at))) replace(at, next, *one);
        at = next;
      }
    }
    if (!writer) return false;
    writer->keep(kept, text.size());
    return true;
  }

  static std::size_t count(std::string_view text) {
    std::size_t out = 0;
    for (const char byte : text) out += is_utf8_continuation(byte) ? 0 : 1;
    return out;
  }

  /// Where the cluster of characters that a reader takes for one ends.
  static std::size_t cluster_end(std::string_view text, std::size_t at) {
    const auto next_code = [&](std::size_t& from) {
      return static_cast<utf8proc_int32_t>(in_cluster(utf8_next(text, from)));
    };
    utf8proc_int32_t before = next_code(at), state = 0;
    while (at < text.size()) {
      std::size_t next = at;
      const utf8proc_int32_t code = next_code(next);
      if (utf8proc_grapheme_break_stateful(before, code, &state)) break;
      before = code;
      at = next;
    }
    return at;
  }

  std::uint32_t unit(std::size_t at) const { return at < units_.size() ? units_[at] : 0; }
  /// Where the children of a unit are, relative to it.
  static std::size_t children(std::uint32_t u) {
    return std::size_t{u >> 10} << ((u & (1u << 9)) >> 6);
  }

  /// What the shortest known beginning of `key` becomes.
  std::optional<std::string_view> find(std::string_view key) const {
    std::size_t at = children(unit(0));
    for (const char byte : key) {
      const auto label = static_cast<unsigned char>(byte);
      if (label == 0) break;
      at ^= label;
      const std::uint32_t u = unit(at);
      if ((u & 0x800000FFu) != label) break;
      at ^= children(u);
      if (((u >> 8) & 1) != 0) {
        const std::size_t begin = unit(at) & 0x7FFFFFFFu;
        if (begin >= texts_.size()) break;
        const std::size_t end = texts_.find('\0', begin);
        return std::string_view(texts_).substr(begin, end == texts_.npos ? end : end - begin);
      }
    }
    return std::nullopt;
  }

  std::vector<std::uint32_t> units_;
  std::string texts_;
};

}  // namespace

Normalizer charsmap_normalizer(std::string bytes, std::string_view who) {
  // The map is large: copies of the function share it.
  return [map = std::make_shared<const Charsmap>(std::move(bytes), who)](
             const TextView& in, AlignedText& out) { return (*map)(in, out); };
}

}  // namespace graft::core
