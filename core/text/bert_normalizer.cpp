#include "core/text/characters.hpp"
#include "core/text/normalizer.hpp"
#include "core/text/unicode.hpp"

namespace graft::core {
namespace {

bool clean(const TextView& in, AlignedText& out) {
  return rewrite_characters(in, out, [](char32_t c, std::string& bytes) {
    if (c > 0x20 && c < 0x7F) return Fate::kept;
    if (is_bert_control(c)) return Fate::dropped;
    if (c == ' ' || !is_white_space(c)) return Fate::kept;
    bytes = " ";
    return Fate::replaced;
  });
}

/// The blocks that BERT takes for Chinese; one of them begins later than Unicode's.
bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool space_out(const TextView& in, AlignedText& out) {
  return rewrite_characters(in, out, [](char32_t c, std::string& bytes) {
    if (!is_chinese(c)) return Fate::kept;
    bytes = " ";
    append_utf8(bytes, c);
    bytes += ' ';
    return Fate::replaced;
  });
}

bool drop_accents(const TextView& in, AlignedText& out) {
  return rewrite_characters(in, out, [](char32_t c, std::string&) {
    return c >= 0x300 && is_nonspacing_mark(c) ? Fate::dropped : Fate::kept;
  });
}

}  // namespace

Normalizer bert_normalizer(BertNormalization options) {
  std::vector<Normalizer> steps;
  if (options.clean_text) steps.emplace_back(clean);
  if (options.handle_chinese_chars) steps.emplace_back(space_out);
  if (options.strip_accents) {
    steps.push_back(normal_form(false, false));
    steps.emplace_back(drop_accents);
  }
  if (options.lowercase) steps.emplace_back(lowercase);
  return one_after_the_other(std::move(steps));
}

}  // namespace graft::core
