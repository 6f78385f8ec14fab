#include "core/text/template/lexer.hpp"

#include <algorithm>
#include <array>

#include "core/text/template/literal.hpp"
#include "core/text/template/python.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Longest first.
constexpr std::array<std::string_view, 26> symbols = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) data();
    add(TokenKind::end, "", source_.size());
    return std::move(tokens_);
  }

 private:
  bool has(std::string_view text, std::size_t at) const {
    return source_.substr(at, text.size()) == text;
  }
  void add(TokenKind kind, std::string_view text, std::size_t at) {
    tokens_.push_back({kind, std::string(text), at});
  }

  /// Text up to the next tag, and that tag.
  void data() {
    std::size_t tag = at_;
    while (tag < source_.size() && !has("{%", tag) && !has("{{", tag) && !has("{#", tag)) {
      tag = source_.find('{', tag + 1);
      if (tag == source_.npos) tag = source_.size();
    }
    std::string_view text = source_.substr(at_, tag - at_);
    if (tag == source_.size()) {
      if (!text.empty()) add(TokenKind::data, text, at_);
      at_ = tag;
      return;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    text = before_tag(text, sign, kind != '{');
    if (!text.empty()) add(TokenKind::data, text, at_);
    at_ = tag + (sign == '-' || sign == '+' ? 3 : 2);
    if (kind == '#') return comment(tag);
    if (kind == '%' && raw(tag)) return;
    add(kind == '%' ? TokenKind::block_begin : TokenKind::print_begin, "", tag);
    code(kind == '%', tag);
  }

  /// What a tag leaves of the text before it.
  std::string_view before_tag(std::string_view text, char sign, bool strips_line) const {
    if (sign == '-') return strip(text, false, true);
    if (sign == '+' || !strips_line) return text;
    const std::size_t newline = text.rfind('\n');
    const std::size_t line = newline == text.npos ? 0 : newline + 1;
    const bool blank = strip(text.substr(line), true, true).empty();
    return blank && (line > 0 || line_starts_) ? text.substr(0, line) : text;
  }

  /// The place behind `word` and the white space around it, or npos.
  std::size_t behind_word(std::size_t at, std::string_view word) const {
    while (at < source_.size() && is_space(static_cast<unsigned char>(source_[at]))) ++at;
    if (!has(word, at)) return source_.npos;
    at += word.size();
    while (at < source_.size() && is_space(static_cast<unsigned char>(source_[at]))) ++at;
    return at;
  }

  /// {% raw %}: text up to {% endraw %}, whatever it looks like. at_ is behind "{%".
  bool raw(std::size_t tag) {
    std::size_t begin = behind_word(at_, "raw");
    if (begin == source_.npos) return false;
    const bool strips = has("-%}", begin);
    if (!strips && !has("%}", begin)) return false;
    begin += strips ? 3 : 2;
    if (strips) begin = source_.size() - strip(source_.substr(begin), true, false).size();
    line_starts_ = begin > 0 && source_[begin - 1] == '\n';
    for (std::size_t end = source_.find("{%", begin); end != source_.npos;
         end = source_.find("{%", end + 2)) {
      const char sign = end + 2 < source_.size() ? source_[end + 2] : '\0';
      std::size_t close = behind_word(end + (sign == '-' || sign == '+' ? 3 : 2), "endraw");
      if (close == source_.npos) continue;
      const char last = close < source_.size() ? source_[close] : '\0';
      close += last == '-' || last == '+' ? 1 : 0;
      if (!has("%}", close)) continue;
      const std::string_view text = source_.substr(begin, end - begin);
      add(TokenKind::data, before_tag(text, sign, true), begin);
      at_ = close + 2;
      after_tag(last, true);
      return true;
    }
    throw SyntaxFailure("the raw block has no end", tag);
  }

  void comment(std::size_t tag) {
    const std::size_t end = source_.find("#}", at_);
    if (end == source_.npos) throw SyntaxFailure("the comment has no end", tag);
    const char sign = end > at_ ? source_[end - 1] : '\0';
    at_ = end + 2;
    after_tag(sign, true);
  }

  /// What the end of a tag does to the text behind it.
  void after_tag(char sign, bool trims) {
    const std::size_t end = at_;
    if (sign == '-') {
      at_ = source_.size() - strip(source_.substr(at_), true, false).size();
    } else if (sign != '+' && trims && has("\n", at_)) {
      ++at_;
    }
    line_starts_ = at_ > end && source_[at_ - 1] == '\n';
  }

  /// Tokens up to the end of the tag.
  void code(bool block, std::size_t tag) {
    std::string open;  // brackets that wait for their end
    while (true) {
      while (at_ < source_.size() && is_space(static_cast<unsigned char>(source_[at_]))) ++at_;
      if (at_ == source_.size()) {
        throw SyntaxFailure(block ? "the tag has no '%}'" : "the tag has no '}}'", tag);
      }
      if (open.empty() && ends(block)) return;
      const char c = source_[at_];
      if (is_name_start(c)) {
        name();
      } else if (is_digit(c)) {
        number();
      } else if (c == '"' || c == '\'') {
        const std::size_t begin = at_;
        add(TokenKind::text, string_literal(source_, at_), begin);
      } else {
        symbol(open);
      }
    }
  }

  bool ends(bool block) {
    const char sign = source_[at_];
    const std::size_t mark = at_ + (sign == '-' || (sign == '+' && block) ? 1 : 0);
    if (!has(block ? "%}" : "}}", mark)) return false;
    add(block ? TokenKind::block_end : TokenKind::print_end, "", at_);
    at_ = mark + 2;
    after_tag(sign, block);
    return true;
  }

  void name() {
    const std::size_t begin = at_;
    while (at_ < source_.size() && (is_name_start(source_[at_]) || is_digit(source_[at_]))) ++at_;
    add(TokenKind::name, source_.substr(begin, at_ - begin), begin);
  }

  /// Digits of a base behind `at`, with single signs _ between them and, where `first`, before them; where they end.
  std::size_t digits(std::size_t at, int base, bool first) const {
    const auto is_one = [&](std::size_t i) {
      const int c = i < source_.size() ? source_[i] | 0x20 : 0;
      return base == 16 && c >= 'a' && c <= 'f' ? true : c >= '0' && c < '0' + std::min(base, 10);
    };
    for (bool any = first;; any = true) {
      const std::size_t next = at + (any && has("_", at) ? 1 : 0);
      if (!is_one(next)) return at;
      at = next + 1;
    }
  }

  void number() {
    const std::size_t begin = at_;
    const std::size_t whole = digits(begin, 10, false);
    // "list.1.5" has two members.
    if (begin == 0 || source_[begin - 1] != '.') {
      std::size_t end = whole;
      if (has(".", end)) {
        const std::size_t part = digits(end + 1, 10, false);
        if (part > end + 1) end = part;
      }
      if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
        const std::size_t power = end + (has("+", end + 1) || has("-", end + 1) ? 2 : 1);
        const std::size_t part = digits(power, 10, false);
        if (part > power) end = part;
      }
      if (end > whole) {
        at_ = end;
        add_number(TokenKind::real, begin);
        return;
      }
    }
    at_ = whole;
    if (source_[begin] == '0') {
      const char letter =
          begin + 1 < source_.size() ? static_cast<char>(source_[begin + 1] | 0x20) : '\0';
      const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
      const std::size_t end = base == 0 ? begin : digits(begin + 2, base, true);
      // Noughts alone: "012" is two numbers.
      at_ = base != 0 && end > begin + 2 ? end : digits(begin, 1, false);
    }
    add_number(TokenKind::integer, begin);
  }

  void add_number(TokenKind kind, std::size_t begin) {
    std::string text(source_.substr(begin, at_ - begin));
    std::erase(text, '_');
    add(kind, text, begin);
  }

  void symbol(std::string& open) {
    const auto found = std::find_if(symbols.begin(), symbols.end(),
                                    [&](std::string_view s) { return has(s, at_); });
    if (found == symbols.end()) {
      const std::size_t length = utf8_length(source_.substr(at_));
      throw SyntaxFailure(cat("unexpected character '", source_.substr(at_, length), "'"), at_);
    }
    const char c = (*found)[0];
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) throw SyntaxFailure(cat("unexpected '", c, "'"), at_);
      open.pop_back();
    }
    add(TokenKind::symbol, *found, at_);
    at_ += found->size();
  }

  std::string_view source_;
  std::size_t at_ = 0;
  bool line_starts_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> lex(std::string_view source) {
  return Lexer(source).run();
}

std::string normalize_source(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      out += '\n';
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

}  // namespace graft::core::jinja
