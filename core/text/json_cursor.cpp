#include "core/text/json_cursor.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

constexpr int deepest = 64;

const std::array<double, 309>& powers_of_ten() {
  static const auto powers = [] {
    std::array<double, 309> out{};
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = std::strtod(("1e" + std::to_string(i)).c_str(), nullptr);
    return out;
  }();
  return powers;
}

/// A number as Hugging Face's reader of JSON has it: rounded twice, so that it may be the neighbour of the nearest one.
/// Where sums of scores are equal, that decides. `digits` are a number of JSON.
double quick_real(std::string_view digits) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t significand = 0;
  std::int64_t exponent = 0;
  bool fraction = false, full = false;
  std::size_t at = digits.starts_with('-') ? 1 : 0;
  for (; at < digits.size() && digits[at] != 'e' && digits[at] != 'E'; ++at) {
    if (digits[at] == '.') {
      fraction = true;
      continue;
    }
    const auto digit = static_cast<std::uint64_t>(digits[at] - '0');
    full = full || significand > (most - digit) / 10;
    if (!full) significand = significand * 10 + digit;
    if (full != fraction) exponent += full ? 1 : -1;
  }
  if (at < digits.size()) {
    at += digits[at + 1] == '+' ? 2 : 1;
    std::int64_t more = 0;
    if (std::from_chars(digits.data() + at, digits.data() + digits.size(), more).ec ==
        std::errc()) {
      exponent += std::clamp<std::int64_t>(more, -100'000, 100'000);
    }
  }
  double out = static_cast<double>(significand);
  for (; exponent < -308 && out != 0; exponent += 308) out /= 1e308;
  for (; exponent > 308; exponent -= 308) out *= 1e308;
  if (exponent < -308) exponent = 0;  // it is 0
  const double power = powers_of_ten()[static_cast<std::size_t>(std::abs(exponent))];
  out = exponent < 0 ? out / power : out * power;
  return digits.starts_with('-') ? -out : out;
}

}  // namespace

JsonCursor::JsonCursor(std::string_view text, std::string_view who) : text_(text), who_(who) {
  if (is_utf8(text)) return;
  at_ = utf8_error(text);
  fail("the text is not UTF-8");
}

void JsonCursor::fail(std::string_view what) const {
  throw Error(GRAFT_E_INVALID, cat(who_, ": not JSON at byte ", at_ + 1, ": ", what, "."));
}

char JsonCursor::peek() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return c;
    ++at_;
  }
  return '\0';
}

bool JsonCursor::take(char c) {
  if (peek() != c || at_ >= text_.size()) return false;
  ++at_;
  return true;
}

void JsonCursor::expect(char c) {
  if (!take(c)) fail(cat("expected '", c, "'"));
}

void JsonCursor::end() {
  peek();
  if (at_ < text_.size()) fail("more text behind the value");
}

std::size_t JsonCursor::end_of_text(bool* escapes) const {
  for (std::size_t i = at_ + 1; i < text_.size(); ++i) {
    const char c = text_[i];
    if (c == '"') return i + 1;
    if (c == '\\') {
      ++i;
      if (escapes != nullptr) *escapes = true;
    }
    if (static_cast<unsigned char>(c) < 0x20) break;
  }
  fail("a string without an end, or with a control character in it");
}

std::string_view JsonCursor::text(TextArena& arena) {
  if (peek() != '"') fail("expected a string");
  bool escapes = false;
  const std::size_t begin = at_ + 1, end = end_of_text(&escapes);
  if (!escapes) {
    at_ = end;
    return text_.substr(begin, end - 1 - begin);
  }
  at_ = begin;
  std::string out;
  while (at_ + 1 < end) {
    if (text_[at_] == '\\') {
      ++at_;
      unescape(out);
    } else {
      out += text_[at_++];
    }
  }
  at_ = end;
  return arena.keep(out);
}

std::uint32_t JsonCursor::hex4() {
  std::uint32_t value = 0;
  const std::string_view digits = text_.substr(at_, 4);
  const auto done = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() != 4 || done.ptr != digits.data() + 4) fail("expected four hex digits");
  at_ += 4;
  return value;
}

/// The escape whose backslash is behind.
void JsonCursor::unescape(std::string& out) {
  constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
  const char c = text_[at_];
  const std::size_t known = from.find(c);
  if (known != from.npos) {
    ++at_;
    out += to[known];
    return;
  }
  if (c != 'u') fail("an unknown escape");
  ++at_;
  std::uint32_t code = hex4();
  if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
    at_ += 2;
    const std::uint32_t low = hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("half a surrogate pair");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  if (code >= 0xD800 && code < 0xE000) fail("half a surrogate pair");
  append_utf8(out, code);
}

/// Digits, at least one.
bool JsonCursor::skip_digits() {
  const std::size_t begin = at_;
  while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
  return at_ > begin;
}

JsonCursor::Number JsonCursor::number() {
  peek();
  const std::size_t begin = at_;
  const auto has = [&](char c) { return at_ < text_.size() && text_[at_] == c; };
  const auto require = [&](bool good) {
    if (good) return;
    at_ = begin;
    fail("expected a number");
  };
  Number out;
  out.whole = true;
  if (has('-')) ++at_;
  const std::size_t first = at_;
  require(skip_digits());
  require(text_[first] != '0' || at_ == first + 1);
  if (has('.')) {
    ++at_;
    require(skip_digits());
    out.whole = false;
  }
  if (has('e') || has('E')) {
    ++at_;
    if (has('+') || has('-')) ++at_;
    require(skip_digits());
    out.whole = false;
  }
  const std::string_view digits = text_.substr(begin, at_ - begin);
  if (out.whole) {
    const char* end = digits.data() + digits.size();
    if (std::from_chars(digits.data(), end, out.integer).ec == std::errc()) {
      out.value = static_cast<double>(out.integer);
      return out;
    }
    out.integer = std::numeric_limits<std::int64_t>::max();
  }
  out.value = quick_real(digits);
  require(std::isfinite(out.value));
  return out;
}

std::string_view JsonCursor::value() {
  peek();
  const std::size_t begin = at_;
  int depth = 0;
  do {
    switch (peek()) {
      case '\0':
        fail("the text ends inside a value");
      case '"':
        at_ = end_of_text();
        break;
      case '{':
      case '[':
        if (++depth > deepest) fail(cat("nested deeper than ", deepest));
        ++at_;
        break;
      case '}':
      case ']':
        if (depth == 0) fail("expected a value");
        --depth;
        ++at_;
        break;
      case ',':
      case ':':
        if (depth == 0) fail("expected a value");
        ++at_;
        break;
      default: {
        const std::size_t stop = text_.find_first_of(" \t\r\n,:]}[{\"", at_);
        at_ = stop == text_.npos ? text_.size() : stop;
      }
    }
  } while (depth > 0);
  return text_.substr(begin, at_ - begin);
}

}  // namespace graft::core
