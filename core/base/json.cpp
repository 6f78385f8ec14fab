#include "core/base/json.hpp"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>
#include <unordered_set>

#include "core/base/utf8.hpp"

template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace graft::core {
namespace {

constexpr int kMaxDepth = 200;
// An object with more keys looks for duplicates in a hash set instead of key by key.
constexpr std::size_t kFewKeys = 16;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Recursive descent over RFC 8259. Objects are appended to the vector under nlohmann's ordered map,
// whose own insertion looks through all keys: a vocabulary of 150,000 entries must stay linear.
class Parser {
 public:
  Parser(std::string_view text, std::string_view who, std::size_t first_line)
      : text_(text), who_(who), first_line_(first_line) {}

  Json document() {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;
    skip_space();
    if (at_ == text_.size()) fail(at_, "there is nothing in it");
    Json result = value(0);
    skip_space();
    if (at_ < text_.size()) fail(at_, cat("unexpected ", seen(), " after the end of the value"));
    return result;
  }

 private:
  [[noreturn]] void fail(std::size_t where, const std::string& what) const {
    std::size_t line = first_line_, column = 1;
    for (std::size_t i = 0; i < where && i < text_.size(); ++i) {
      if (text_[i] == '\n') {
        ++line;
        column = 1;
      } else if ((static_cast<unsigned char>(text_[i]) & 0xC0) != 0x80) {
        ++column;  // columns count code points
      }
    }
    throw Error(GRAFT_E_INVALID,
                cat(who_, ": not valid JSON: ", what, " (line ", line, ", column ", column, ")."));
  }

  std::string seen() const {
    if (at_ >= text_.size()) return "end";
    const char c = text_[at_];
    if (c > ' ' && c < 127) return cat("'", c, "'");
    const char* digits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    return cat("byte 0x", digits[byte >> 4], digits[byte & 15]);
  }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
      ++at_;
    }
  }

  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  Json value(int depth) {
    if (depth > kMaxDepth) fail(at_, cat("nested deeper than ", kMaxDepth, " levels"));
    if (at_ >= text_.size()) fail(at_, "it ends where a value should be");
    const char c = text_[at_];
    if (c == '{') return object(depth);
    if (c == '[') return array(depth);
    if (c == '"') return string();
    if (c == '-' || is_digit(c)) return number();
    if (word("true")) return true;
    if (word("false")) return false;
    if (word("null")) return nullptr;
    fail(at_, cat("unexpected ", seen(), " where a value should be"));
  }

  bool word(std::string_view name) {
    if (text_.substr(at_, name.size()) != name) return false;
    at_ += name.size();
    return true;
  }

  Json array(int depth) {
    ++at_;
    Json result = Json::array();
    auto& items = result.get_ref<Json::array_t&>();
    skip_space();
    if (take(']')) return result;
    for (;;) {
      skip_space();
      items.push_back(value(depth + 1));
      skip_space();
      if (take(']')) return result;
      if (!take(',')) fail(at_, cat("expected ',' or ']', found ", seen()));
    }
  }

  Json object(int depth) {
    ++at_;
    Json result = Json::object();
    Json::object_t::Container& members = result.get_ref<Json::object_t&>();
    std::unordered_set<std::string> keys;
    skip_space();
    if (take('}')) return result;
    for (;;) {
      skip_space();
      const std::size_t where = at_;
      if (at_ >= text_.size() || text_[at_] != '"') {
        fail(at_, cat("expected a key in double quotes, found ", seen()));
      }
      std::string key = string();
      if (is_known(members, keys, key)) fail(where, cat("the key \"", key, "\" is there twice"));
      skip_space();
      if (!take(':')) fail(at_, cat("expected ':' after a key, found ", seen()));
      skip_space();
      members.emplace_back(std::move(key), value(depth + 1));
      skip_space();
      if (take('}')) return result;
      if (!take(',')) fail(at_, cat("expected ',' or '}', found ", seen()));
    }
  }

  static bool is_known(const Json::object_t::Container& members,
                       std::unordered_set<std::string>& keys, const std::string& key) {
    if (members.size() < kFewKeys) {
      for (const auto& member : members) {
        if (member.first == key) return true;
      }
      return false;
    }
    if (keys.empty()) {
      for (const auto& member : members) keys.insert(member.first);
    }
    return !keys.insert(key).second;
  }

  std::string string() {
    const std::size_t start = at_++;
    std::string result;
    for (;;) {
      if (at_ >= text_.size()) fail(start, "a string that starts here has no end");
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return result;
      }
      if (static_cast<unsigned char>(c) < 0x20) {
        fail(at_, cat("a control character (", seen(), ") in a string; write \\n, \\t or \\u00XX"));
      }
      if (c == '\\') {
        escape(result);
        continue;
      }
      const std::size_t length = utf8_length(text_.substr(at_));
      if (length == 0) fail(at_, cat("invalid UTF-8 (", seen(), ") in a string"));
      result.append(text_, at_, length);
      at_ += length;
    }
  }

  void escape(std::string& out) {
    const std::size_t start = at_++;
    if (at_ >= text_.size()) fail(start, "it ends in an escape");
    const char c = text_[at_++];
    switch (c) {
      case '"':
      case '\\':
      case '/':
        out += c;
        return;
      case 'b':
        out += '\b';
        return;
      case 'f':
        out += '\f';
        return;
      case 'n':
        out += '\n';
        return;
      case 'r':
        out += '\r';
        return;
      case 't':
        out += '\t';
        return;
      case 'u':
        break;
      default:
        fail(start, "an unknown escape in a string");
    }
    std::uint32_t code = hex4(start);
    if (code >= 0xDC00 && code < 0xE000) fail(start, "a low surrogate without a high one");
    if (code >= 0xD800 && code < 0xDC00) {
      const bool more = take('\\') && take('u');
      const std::uint32_t low = more ? hex4(start) : 0;
      if (low < 0xDC00 || low >= 0xE000) fail(start, "a high surrogate without a low one");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, code);
  }

  std::uint32_t hex4(std::size_t start) {
    std::uint32_t code = 0;
    const std::string_view digits = text_.substr(at_, 4);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (digits.size() < 4 || read.ptr != digits.data() + 4) {
      fail(start, "\\u needs four hexadecimal digits");
    }
    at_ += 4;
    return code;
  }

  void digits(std::size_t start) {
    if (at_ >= text_.size() || !is_digit(text_[at_])) fail(start, "a number without digits");
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
  }

  Json number() {
    const std::size_t start = at_;
    const bool negative = take('-');
    if (take('0')) {
      if (at_ < text_.size() && is_digit(text_[at_])) fail(start, "a number with a leading zero");
    } else {
      digits(start);
    }
    bool whole = true;
    if (take('.')) {
      whole = false;
      digits(start);
    }
    if (take('e') || take('E')) {
      whole = false;
      if (!take('+')) take('-');
      digits(start);
    }
    const char* first = text_.data() + start;
    const char* last = text_.data() + at_;
    if (whole && negative) {
      std::int64_t result = 0;
      if (std::from_chars(first, last, result).ec == std::errc()) return result;
    } else if (whole) {
      std::uint64_t result = 0;
      if (std::from_chars(first, last, result).ec == std::errc()) return result;
    }
    double result = 0;
    if (std::from_chars(first, last, result).ec == std::errc()) return result;
    // from_chars does not tell an overflow from an underflow.
    result = std::strtod(std::string(first, last).c_str(), nullptr);
    if (std::isinf(result)) fail(start, "a number too large for a double");
    return result;
  }

  std::string_view text_, who_;
  std::size_t first_line_;
  std::size_t at_ = 0;
};

}  // namespace

Json parse_json(std::string_view text, std::string_view who, std::size_t first_line) {
  return Parser(text, who, first_line).document();
}

std::string to_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace graft::core
