#include "core/text/normalizer.hpp"

#include "core/text/base64.hpp"
#include "core/text/byte_alphabet.hpp"
#include "core/text/characters.hpp"
#include "core/text/config.hpp"
#include "core/text/regex.hpp"
#include "core/text/unicode.hpp"

namespace graft::core {
namespace {

constexpr int deepest_sequence = 16;

bool strip_accents(const TextView& in, AlignedText& out) {
  return rewrite_characters(in, out, [](char32_t c, std::string&) {
    return c >= 0x300 && is_combining_mark(c) ? Fate::dropped : Fate::kept;
  });
}

/// SentencePiece's older clean-up.
bool nmt(const TextView& in, AlignedText& out) {
  return rewrite_characters(in, out, [](char32_t c, std::string& bytes) {
    if (c >= ' ' && c < 0x7F) return Fate::kept;
    if ((c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
        c == 0x8F || c == 0x9F) {
      return Fate::dropped;
    }
    const bool spaces = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                        (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                        c == 0xFEFF || c == 0xFFFD;
    if (!spaces) return Fate::kept;
    bytes = " ";
    return Fate::replaced;
  });
}

bool to_byte_alphabet(const TextView& in, AlignedText& out) {
  return rewrite_characters(in, out, [](char32_t c, std::string& bytes) {
    std::string raw;
    append_utf8(raw, c);
    for (const char byte : raw) bytes += text_of_byte(static_cast<unsigned char>(byte));
    return bytes == raw ? (bytes.clear(), Fate::kept) : Fate::replaced;
  });
}

/// New text in place of each match stands for the last character of the match.
bool replace_matches(const TextView& in, AlignedText& out, const std::vector<TextRange>& matches,
                     std::string_view by) {
  if (matches.empty()) return false;
  Rewriter writer(in, out);
  std::size_t kept = 0;
  for (const TextRange& match : matches) {
    writer.keep(kept, match.begin);
    std::size_t last = match.end;
    while (last > 0 && is_utf8_continuation(in.text[--last])) continue;
    if (match.end > 0) {
      writer.put(by, last, match.end);
    } else if (!in.text.empty()) {
      const std::int64_t begin = in.source(0, 1).begin;
      writer.put(by, SourceSpan{begin, begin});
    }
    kept = match.end;
  }
  writer.keep(kept, in.text.size());
  return true;
}

Normalizer replace_regex(Regex pattern, std::string by) {
  return [pattern = std::move(pattern), by = std::move(by)](const TextView& in, AlignedText& out) {
    std::vector<TextRange> matches;
    pattern.matches(in.text, matches, Regex::Empty::included);
    return replace_matches(in, out, matches, by);
  };
}

Normalizer make_replace(const Json& config, std::string_view who) {
  const Json& pattern = member(config, "pattern", Json::value_t::object, who);
  std::string by = text_member(config, "content", who);
  if (pattern.contains("String")) {
    const std::string text = text_member(pattern, "String", who);
    return text.empty() ? replace_regex(Regex("", who), std::move(by))
                        : replace_text(text, std::move(by));
  }
  return replace_regex(
      Regex(member(pattern, "Regex", Json::value_t::string, who).get_ref<const std::string&>(),
            who),
      std::move(by));
}

Normalizer make_bert(const Json& config, std::string_view who) {
  BertNormalization options;
  options.clean_text = flag(config, "clean_text", true, who);
  options.handle_chinese_chars = flag(config, "handle_chinese_chars", true, who);
  options.lowercase = flag(config, "lowercase", true, who);
  options.strip_accents = flag(config, "strip_accents", options.lowercase, who);
  return bert_normalizer(options);
}

Normalizer make(const Json& config, std::string_view who, int depth) {
  const std::string type = type_of(config, "normalizer", who);
  if (type == "NFC") return normal_form(true, false);
  if (type == "NFD") return normal_form(false, false);
  if (type == "NFKC") return normal_form(true, true);
  if (type == "NFKD") return normal_form(false, true);
  if (type == "Lowercase") return lowercase;
  if (type == "StripAccents") return strip_accents;
  if (type == "Nmt") return nmt;
  if (type == "ByteLevel") return to_byte_alphabet;
  if (type == "BertNormalizer") return make_bert(config, who);
  if (type == "Prepend") return prepend_text(text_member(config, "prepend", who));
  if (type == "Replace") return make_replace(config, who);
  if (type == "Strip") {
    return strip_white_space(flag(config, "strip_left", true, who),
                             flag(config, "strip_right", true, who));
  }
  if (type == "Precompiled") {
    // Some files hold none: then nothing is changed.
    const std::string map = base64_bytes(text_member(config, "precompiled_charsmap", who), who);
    return map.empty() ? Normalizer() : charsmap_normalizer(map, who);
  }
  if (type == "Sequence" && depth < deepest_sequence) {
    std::vector<Normalizer> steps;
    for (const Json& step : member(config, "normalizers", Json::value_t::array, who)) {
      if (Normalizer made = make(step, who, depth + 1)) steps.push_back(std::move(made));
    }
    return one_after_the_other(std::move(steps));
  }
  refuse_kind("normalizer", type,
              "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace, "
              "BertNormalizer, Precompiled, Nmt, ByteLevel, Sequence, null",
              who);
}

}  // namespace

Normalizer make_normalizer(const Json& config, std::string_view who) {
  return config.is_null() ? Normalizer() : make(config, who, 0);
}

Normalizer prepend_text(std::string text) {
  return [text = std::move(text)](const TextView& in, AlignedText& out) {
    if (in.text.empty() || text.empty()) return false;
    Rewriter writer(in, out);
    writer.put(text, 0, 1);
    writer.keep(0, in.text.size());
    return true;
  };
}

Normalizer replace_text(std::string text, std::string by) {
  return [text = std::move(text), by = std::move(by)](const TextView& in, AlignedText& out) {
    std::vector<TextRange> matches;
    for (std::size_t at = in.text.find(text); at != in.text.npos;) {
      matches.push_back({at, at + text.size()});
      at = in.text.find(text, at + text.size());
    }
    return replace_matches(in, out, matches, by);
  };
}

Normalizer strip_white_space(bool left, bool right) {
  return [left, right](const TextView& in, AlignedText& out) {
    std::size_t begin = 0, end = in.text.size();
    while (left && begin < end) {
      std::size_t next = begin;
      if (!is_white_space(utf8_next(in.text, next))) break;
      begin = next;
    }
    while (right && begin < end && is_white_space(utf8_before(in.text, end))) {
      while (is_utf8_continuation(in.text[--end])) continue;
    }
    if (end - begin == in.text.size()) return false;
    Rewriter(in, out).keep(begin, end);
    return true;
  };
}

Normalizer one_after_the_other(std::vector<Normalizer> steps) {
  return [steps = std::move(steps)](const TextView& in, AlignedText& out) {
    bool changed = false;
    for (const Normalizer& step : steps) {
      AlignedText next;
      if (!step(changed ? TextView(out) : in, next)) continue;
      out = std::move(next);
      changed = true;
    }
    return changed;
  };
}

bool single_spaces(const TextView& in, AlignedText& out) {
  const std::size_t first = in.text.find_first_not_of(' ');
  const std::size_t last = in.text.find_last_not_of(' ');
  if (first == in.text.npos) {
    if (in.text.empty()) return false;
    Rewriter(in, out).keep(0, 0);
    return true;
  }
  if (first == 0 && last + 1 == in.text.size() && in.text.find("  ") == in.text.npos) return false;
  Rewriter writer(in, out);
  for (std::size_t at = first; at <= last;) {
    const std::size_t space = std::min(in.text.find(' ', at), last + 1);
    writer.keep(at, space);
    if (space > last) break;
    writer.keep(space, space + 1);
    at = in.text.find_first_not_of(' ', space);
  }
  return true;
}

bool lowercase(const TextView& in, AlignedText& out) {
  return rewrite_characters(in, out, [](char32_t c, std::string& bytes) {
    if (c < 0x80) {
      if (c < 'A' || c > 'Z') return Fate::kept;
      bytes += static_cast<char>(c + ('a' - 'A'));
      return Fate::replaced;
    }
    if (c == 0x130) {  // the only letter with a small form of two characters
      bytes = "i\xCC\x87";
      return Fate::replaced;
    }
    const char32_t small = small_letter(c);
    if (small == c) return Fate::kept;
    append_utf8(bytes, small);
    return Fate::replaced;
  });
}

}  // namespace graft::core
