#include "core/text/regex_syntax.hpp"

#include <vector>

#include "core/base/error.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

constexpr int deepest_class = 50;
constexpr std::string_view word_class = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
constexpr std::string_view hex_class = "0-9a-fA-F";

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

class Translator {
 public:
  Translator(std::string_view text, std::string_view who) : text_(text), who_(who) {}

  std::string run() {
    while (at_ < text_.size()) item();
    return std::move(out_);
  }

 private:
  bool has(std::string_view what) const { return text_.substr(at_).starts_with(what); }

  void item() {
    const char c = text_[at_];
    if (c == '\\') {
      out_ += escape(false);
    } else if (c == '[') {
      out_ += char_class(0);
    } else if (c == '^' || c == '$') {
      out_ += c == '^' ? "(?m:^)" : "(?m:$)";
      ++at_;
    } else if (has("{,") && at_ + 2 < text_.size() && text_[at_ + 2] >= '0' &&
               text_[at_ + 2] <= '9') {
      out_ += "{0,";
      at_ += 2;
    } else if (has("(?#")) {
      const std::size_t end = text_.find(')', at_);
      at_ = end == text_.npos ? text_.size() : end + 1;
    } else if (has("(?")) {
      flags();
    } else {
      out_ += c;
      ++at_;
    }
  }

  /// "(?imx-imx" or the beginning of another group: m lets the dot match line ends.
  void flags() {
    out_ += "(?";
    at_ += 2;
    std::size_t end = at_;
    while (end < text_.size() &&
           std::string_view("imx-").find(text_[end]) != std::string_view::npos)
      ++end;
    if (end == text_.size() || (text_[end] != ':' && text_[end] != ')')) return;
    for (; at_ < end; ++at_) out_ += text_[at_] == 'm' ? 's' : text_[at_];
  }

  /// What begins with a backslash; in a class without brackets of its own where that can be.
  std::string escape(bool in_class) {
    if (at_ + 1 == text_.size()) {
      ++at_;
      return "\\";
    }
    const char c = text_[at_ + 1];
    const auto set = [&](std::string_view members, bool negated) {
      at_ += 2;
      if (in_class && !negated) return std::string(members);
      return cat(negated ? "[^" : "[", members, "]");
    };
    if (c == 'w') return set(word_class, false);
    if (c == 'W' && !in_class) return set(word_class, true);
    if (c == 'h') return set(hex_class, false);
    if (c == 'H' && !in_class) return set(hex_class, true);
    if (c == 'u') {
      std::size_t end = at_ + 2;
      while (end < text_.size() && end < at_ + 6 && is_hex(text_[end])) ++end;
      if (end == at_ + 6) {
        const std::string_view digits = text_.substr(at_ + 2, 4);
        at_ = end;
        return cat("\\x{", digits, "}");
      }
    }
    // "\p{..}", "\x{..}", "\k<..>" and the like go on as they are.
    std::size_t next = at_ + 1;
    utf8_next(text_, next);
    const std::string_view same = text_.substr(at_, next - at_);
    at_ = next;
    return std::string(same);
  }

  /// One class as an expression that matches one character.
  std::string char_class(int depth) {
    if (depth > deepest_class) fail("classes are nested too deep");
    ++at_;
    bool negated = false;
    if (at_ < text_.size() && text_[at_] == '^') {
      negated = true;
      ++at_;
    }
    std::vector<Union> parts(1);
    for (bool first = true;; first = false) {
      if (at_ >= text_.size()) fail("a class has no end");
      const char c = text_[at_];
      Union& part = parts.back();
      if (c == ']' && !first) break;
      if (has("[:")) {
        const std::size_t end = text_.find(":]", at_);
        if (end != text_.npos) {
          part.members += text_.substr(at_, end + 2 - at_);
          at_ = end + 2;
          continue;
        }
      }
      if (c == '[') {
        part.others.push_back(char_class(depth + 1));
      } else if (has("&&")) {
        at_ += 2;
        parts.emplace_back();
      } else if (has("\\W") || has("\\H")) {
        part.others.push_back(cat("[^", text_[at_ + 1] == 'W' ? word_class : hex_class, "]"));
        at_ += 2;
      } else if (c == '\\') {
        part.members += escape(true);
      } else if (c == ']') {
        part.members += "\\]";
        ++at_;
      } else {
        part.members += c;
        ++at_;
      }
    }
    ++at_;
    if (parts.size() == 1 && parts[0].others.empty())
      return cat(negated ? "[^" : "[", parts[0].members, "]");
    std::string both;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::string one = parts[i].text();
      both += i + 1 < parts.size() ? cat("(?=", one, ")") : one;
    }
    return negated ? cat("(?:(?!", both, ")(?s:.))") : cat("(?:", both, ")");
  }

  /// What stands between the signs && of a class.
  struct Union {
    std::string members;
    std::vector<std::string> others;  // classes inside
    std::string text() const {
      std::string out = members.empty() ? "" : cat("[", members, "]");
      for (const std::string& other : others) out += cat(out.empty() ? "" : "|", other);
      return others.empty() ? (out.empty() ? "(?!)" : out) : cat("(?:", out, ")");
    }
  };

  [[noreturn]] void fail(std::string_view what) const {
    throw Error(GRAFT_E_INVALID,
                cat(who_, ": the regular expression '", text_, "' is wrong: ", what, "."));
  }

  std::string_view text_, who_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string perl_syntax(std::string_view ruby, std::string_view who) {
  return Translator(ruby, who).run();
}

}  // namespace graft::core
