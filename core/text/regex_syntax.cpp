#include "core/text/regex_syntax.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/text/regex.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

constexpr int deepest_class = 50;

/// Members of a class, or with `negated` what are none.
struct Members {
  std::string_view members;
  bool negated = false;
  std::string brackets() const { return cat(negated ? "[^" : "[", members, "]"); }
};

/// Classes by their names, as [:name:] and \p{name} have them.
constexpr std::pair<std::string_view, Members> named_classes[] = {
    {"alnum", {"\\p{Alphabetic}\\p{Nd}"}},
    {"alpha", {"\\p{Alphabetic}"}},
    {"ascii", {"\\x00-\\x7F"}},
    {"blank", {"\\p{Zs}\\t"}},
    {"cntrl", {"\\p{Cc}"}},
    {"digit", {"\\p{Nd}"}},
    {"graph", {"\\s\\p{Cc}\\p{Cn}\\p{Cs}", true}},
    {"lower", {"\\p{Lowercase}"}},
    {"print", {"\\x{2028}\\x{2029}\\p{Cc}\\p{Cn}\\p{Cs}", true}},
    {"punct", {"\\p{P}\\p{S}"}},
    {"space", {"\\s"}},
    {"upper", {"\\p{Uppercase}"}},
    {"word", {"\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"}},
    {"xdigit", {"0-9a-fA-F"}},
};

/// Categories by their long names.
constexpr std::pair<std::string_view, std::string_view> categories[] = {
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"unassigned", "Cn"},
    {"privateuse", "Co"},
    {"surrogate", "Cs"},
    {"letter", "L"},
    {"casedletter", "L&"},
    {"lowercaseletter", "Ll"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"titlecaseletter", "Lt"},
    {"uppercaseletter", "Lu"},
    {"mark", "M"},
    {"combiningmark", "M"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"nonspacingmark", "Mn"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"punct", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"closepunctuation", "Pe"},
    {"finalpunctuation", "Pf"},
    {"initialpunctuation", "Pi"},
    {"otherpunctuation", "Po"},
    {"openpunctuation", "Ps"},
    {"symbol", "S"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"mathsymbol", "Sm"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"spaceseparator", "Zs"},
};

template <class Table>
auto find_in(const Table& table, std::string_view name) -> decltype(&table[0].second) {
  for (const auto& [known, value] : table) {
    if (known == name) return &value;
  }
  return nullptr;
}

/// \w alone and \b have some numbers too, which \w in a class has not.
constexpr std::string_view word_alone =
    "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

class Translator {
 public:
  Translator(std::string_view text, std::string_view who) : text_(text), who_(who) {}

  std::string run() {
    while (at_ < text_.size()) item();
    close_options();
    return std::move(out_);
  }

 private:
  /// A group that is open: where it begins in what is written, and how many flags without a group of their
  /// own it has, each of which makes one to its end.
  struct Group {
    std::size_t begin = 0;
    std::size_t options = 0;
    bool fold = false;  // upper and lower case are one
  };

  bool has(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool digit_at(std::size_t at) const {
    return at < text_.size() && text_[at] >= '0' && text_[at] <= '9';
  }

  void item() {
    const char c = text_[at_];
    if (const std::size_t size = interval(); size != 0 || c == '*' || c == '+' || c == '?') {
      repeat(std::max<std::size_t>(size, 1));
      return;
    }
    std::size_t begin = out_.size();
    if (const std::optional<Members> set = named_set(false)) {
      out_ += set->brackets();
    } else if (c == '\\') {
      out_ += escape(false);
    } else if (c == '[') {
      out_ += char_class(0);
    } else if (c == '^' || c == '$') {
      out_ += c == '^' ? "(?m:^)" : "(?m:$)";
      ++at_;
    } else if (has("(?#")) {
      const std::size_t end = text_.find(')', at_);
      at_ = end == text_.npos ? text_.size() : end + 1;
      return;
    } else if (c == '(') {
      open();
      return;
    } else if (c == ')') {
      close_options();
      begin = groups_.back().begin;
      // One too many is said by the library, with its place.
      if (groups_.size() > 1) groups_.pop_back();
      out_ += c;
      ++at_;
    } else {
      std::size_t next = at_;
      utf8_next(text_, next);
      out_ += text_.substr(at_, next - at_);
      at_ = next;
    }
    atom_ = begin;
    repeated_ = false;
  }

  /// Bytes of the "{2}", "{2,}", "{2,3}" or "{,3}" that is here, or 0.
  std::size_t interval() const {
    if (text_[at_] != '{') return 0;
    std::size_t end = at_ + 1;
    bool any = false;
    for (; digit_at(end); ++end) any = true;
    if (end < text_.size() && text_[end] == ',') {
      for (++end; digit_at(end); ++end) any = true;
    }
    return any && end < text_.size() && text_[end] == '}' ? end + 1 - at_ : 0;
  }

  /// "a{2,3}+", "a{2}?" and "a**" repeat what is repeated; in Perl's the first takes all or nothing.
  void repeat(std::size_t size) {
    if (repeated_ && extended_)
      fail("a repetition of what is repeated is not supported under (?x)");
    if (repeated_) {
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
    const std::string_view what = text_.substr(at_, size);
    out_ += what.starts_with("{,") ? cat("{0", what.substr(1)) : std::string(what);
    at_ += size;
    repeated_ = true;
    const bool fixed = size > 1 && what.find(',') == what.npos;
    const char after = at_ < text_.size() ? text_[at_] : '\0';
    if (extended_ && size > 1 && (after == '+' || (after == '?' && fixed))) repeat(1);
    if (at_ < text_.size() && ((text_[at_] == '?' && !fixed) || (text_[at_] == '+' && size == 1))) {
      out_ += text_[at_++];
    }
  }

  /// "(", "(?imx-imx:", "(?imx-imx)" or the beginning of another group: m lets the dot match line ends.
  void open() {
    const std::size_t begin = out_.size();
    bool fold = groups_.back().fold;
    out_ += '(';
    ++at_;
    std::size_t end = at_;
    if (end < text_.size() && text_[end] == '?') {
      out_ += '?';
      at_ = ++end;
      while (end < text_.size() &&
             std::string_view("imx-").find(text_[end]) != std::string_view::npos)
        ++end;
      const char after = end == text_.size() ? '\0' : text_[end];
      if (after == ':' || after == ')') {
        for (bool on = true; at_ < end; ++at_) {
          on = on && text_[at_] != '-';
          if (text_[at_] == 'i') fold = on;
          extended_ = extended_ || text_[at_] == 'x';
          out_ += text_[at_] == 'm' ? 's' : text_[at_];
        }
      }
      if (after == ')') {
        // To the end of the group around it, over its alternatives.
        out_ += ':';
        ++at_;
        ++groups_.back().options;
        groups_.back().fold = fold;
        repeated_ = false;
        return;
      }
    }
    groups_.push_back({begin, 0, fold});
    repeated_ = false;
  }

  void close_options() {
    out_.append(groups_.back().options, ')');
    groups_.back().options = 0;
  }

  /// What begins with a backslash; in a class without brackets of its own where that can be.
  std::string escape(bool in_class) {
    if (at_ + 1 == text_.size()) {
      ++at_;
      return "\\";
    }
    const char c = text_[at_ + 1];
    if (!in_class && (c == 'b' || c == 'B')) {
      at_ += 2;
      const std::string word = cat("[", word_alone, "]");
      return c == 'b' ? cat("(?:(?<=", word, ")(?!", word, ")|(?<!", word, ")(?=", word, "))")
                      : cat("(?:(?<=", word, ")(?=", word, ")|(?<!", word, ")(?!", word, "))");
    }
    if (c == 'u') {
      std::size_t end = at_ + 2;
      while (end < text_.size() && end < at_ + 6 && is_hex(text_[end])) ++end;
      if (end == at_ + 6) {
        const std::string_view digits = text_.substr(at_ + 2, 4);
        at_ = end;
        return cat("\\x{", digits, "}");
      }
    }
    if (c == 'v') {
      at_ += 2;
      return "\\x{b}";
    }
    std::size_t next = at_ + 1;
    utf8_next(text_, next);
    // A property needs brackets: without them these are letters.
    if ((c == 'p' || c == 'P') && (next == text_.size() || text_[next] != '{')) {
      at_ = next;
      return std::string(1, c);
    }
    // "\p{..}", "\x{..}", "\k<..>" and the like, with what is in brackets.
    if (next < text_.size() && (text_[next] == '{' || (text_[next] == '<' && !in_class)) &&
        std::string_view("pPxokg").find(c) != std::string_view::npos) {
      const std::size_t end = text_.find(text_[next] == '{' ? '}' : '>', next);
      if (end != text_.npos) next = end + 1;
    }
    if ((c == 'p' || c == 'P') && next > at_ + 4) {
      const std::string_view name = text_.substr(at_ + 3, next - at_ - 4);
      at_ = next;
      return property(c, name);
    }
    const std::string_view same = text_.substr(at_, next - at_);
    at_ = next;
    return std::string(same);
  }

  /// "\p{Han}" is the characters of a script alone, and in Perl's those that are used with it too.
  static std::string property(char p, std::string_view name) {
    const bool negated = name.starts_with('^');
    const std::string_view script = name.substr(negated ? 1 : 0);
    const std::string_view* category = find_in(categories, folded(script));
    const bool is_one = category == nullptr && script.size() > 2 &&
                        script.find(':') == script.npos && script.find('=') == script.npos &&
                        is_perl_expression(cat("\\p{sc:", script, "}"));
    return cat("\\", p, "{", negated ? "^" : "", is_one ? "sc:" : "",
               category != nullptr ? *category : script, "}");
  }

  /// A name as names are compared.
  static std::string folded(std::string_view name) {
    std::string out;
    for (const char c : name) {
      if (c != ' ' && c != '_' && c != '-')
        out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    return out;
  }

  /// In a class where case does not count Ruby's has both cases of what is of one.
  void refuse_case() const {
    for (const std::string_view begin : {"[:", "[:^", "\\p{", "\\p{^", "\\P{"}) {
      if (!has(begin)) continue;
      const std::string_view rest = text_.substr(at_ + begin.size());
      const std::string name = folded(rest.substr(0, rest.find_first_of(":}")));
      for (const std::string_view cased :
           {"lu", "ll", "lt", "upper", "lower", "uppercase", "lowercase", "uppercaseletter",
            "lowercaseletter", "titlecaseletter"}) {
        if (name == cased) fail(cat("'", name, "' in a class under (?i) is not supported"));
      }
    }
  }

  /// The set of characters with a name of its own that is here, "\w", "\H", "\p{^alnum}" or, in a class, "[:punct:]": at_ goes
  /// behind it.
  std::optional<Members> named_set(bool in_class) {
    const auto known = [&](std::string_view name, bool negated,
                           std::size_t end) -> std::optional<Members> {
      const Members* found = find_in(named_classes, name);
      if (found == nullptr) return {};
      at_ = end;
      return Members{found->members, found->negated != negated};
    };
    if (in_class && has("[:")) {
      const std::size_t end = text_.find(":]", at_);
      if (end == text_.npos) return {};
      const bool negated = text_.substr(at_ + 2).starts_with('^');
      const std::size_t begin = at_ + (negated ? 3 : 2);
      return begin > end ? std::nullopt : known(text_.substr(begin, end - begin), negated, end + 2);
    }
    if (has("\\h") || has("\\H")) return known("xdigit", has("\\H"), at_ + 2);
    if (has("\\w") || has("\\W")) {
      const bool negated = has("\\W");
      if (in_class) return known("word", negated, at_ + 2);
      at_ += 2;
      return Members{word_alone, negated};
    }
    if (!has("\\p{") && !has("\\P{")) return {};
    const std::size_t end = text_.find('}', at_);
    if (end == text_.npos) return {};
    std::string_view name = text_.substr(at_ + 3, end - at_ - 3);
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    const std::string plain = folded(name);
    if (plain == "punct") return {};  // a category: [:punct:] has symbols too
    return known(plain == "posixpunct" ? "punct" : plain, negated != has("\\P"), end + 1);
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
      if (groups_.back().fold) refuse_case();
      if (const std::optional<Members> set = named_set(true)) {
        if (set->negated) {
          part.others.push_back(set->brackets());
        } else {
          part.members += set->members;
        }
      } else if (has("[:") && text_.find(":]", at_) != text_.npos) {
        const std::size_t end = text_.find(":]", at_);
        part.members += text_.substr(at_, end + 2 - at_);
        at_ = end + 2;
      } else if (groups_.back().fold && (c == '[' || has("&&"))) {
        fail("a class in a class or && under (?i) is not supported");
      } else if (c == '[') {
        part.others.push_back(char_class(depth + 1));
      } else if (has("&&")) {
        at_ += 2;
        parts.emplace_back();
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
  std::vector<Group> groups_{Group{}};
  std::size_t atom_ = 0;   // where in what is written that begins which a sign of repetition is for
  bool repeated_ = false;  // there is one already
  bool extended_ = false;  // spaces and comments may stand between
};

}  // namespace

std::string perl_syntax(std::string_view ruby, std::string_view who) {
  return Translator(ruby, who).run();
}

}  // namespace graft::core
