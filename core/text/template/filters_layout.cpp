// Filters that lay text out: lines of a width, values over several lines, sizes, tags.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "core/text/template/filters.hpp"
#include "core/text/template/named.hpp"
#include "core/text/template/pretty.hpp"
#include "core/text/template/python.hpp"
#include "core/text/template/text_methods.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

std::u32string characters_of(std::string_view text) {
  std::u32string out;
  for (std::size_t at = 0; at < text.size();) out += utf8_next(text, at);
  return out;
}

std::string text_of(std::u32string_view characters) {
  std::string out;
  for (const char32_t c : characters) append_utf8(out, c);
  return out;
}

/// Cuts a line into words and the spaces between them, words behind hyphens and at dashes.
class Chunks {
 public:
  Chunks(std::u32string_view line, bool at_hyphens)
      : line_(line), at_hyphens_(at_hyphens), behind_dashes_(line.size() + 1, line.size()) {
    for (std::size_t i = line.size(); i-- > 0;) {
      behind_dashes_[i] = line[i] == '-' ? behind_dashes_[i + 1] : i;
    }
  }

  std::vector<std::u32string_view> run() const {
    std::vector<std::u32string_view> out;
    for (std::size_t at = 0, end = 0; at < line_.size(); at = end) {
      end = end_of(at);
      out.push_back(line_.substr(at, end - at));
    }
    return out;
  }

 private:
  bool breaks(std::size_t i) const {
    return i >= line_.size() || line_[i] == ' ' || (line_[i] >= 9 && line_[i] <= 13);
  }
  bool letter(std::size_t i) const {
    return i < line_.size() && is_word(line_[i]) && !is_decimal(line_[i]);
  }
  bool hyphen(std::size_t i) const { return i < line_.size() && line_[i] == '-'; }
  /// Two dashes or more between words begin here.
  bool dash(std::size_t i) const {
    const auto before = [](char32_t c) {
      return is_word(c) || std::u32string_view(U"!\"'&.,?").find(c) != std::u32string_view::npos;
    };
    const std::size_t end = behind_dashes_[i];
    return end >= i + 2 && end < line_.size() && is_word(line_[end]) && i > 0 &&
           before(line_[i - 1]);
  }
  /// A hyphen with parts of a word on both sides.
  bool inside_word(std::size_t i) const {
    if (!hyphen(i) || i < 2 || !letter(i - 1)) return false;
    const bool left = letter(i - 2) || (i >= 3 && hyphen(i - 2) && letter(i - 3));
    return left && letter(i + 1) && (letter(i + 2) || (hyphen(i + 2) && letter(i + 3)));
  }
  std::size_t end_of(std::size_t at) const {
    std::size_t end = at + 1;
    if (breaks(at)) {
      while (end < line_.size() && breaks(end)) ++end;
      return end;
    }
    if (at_hyphens_ && dash(at)) return behind_dashes_[at];
    for (; !breaks(end); ++end) {
      if (at_hyphens_ && inside_word(end)) return end + 1;
      if (at_hyphens_ && dash(end)) return end;
    }
    return end;
  }

  std::u32string_view line_;
  bool at_hyphens_;
  std::vector<std::size_t> behind_dashes_;  // of each place: where the dashes there end
};

bool is_blank(std::u32string_view text) {
  return std::all_of(text.begin(), text.end(), is_space);
}

/// How much of a word that is longer than any line goes into the room that is left.
std::size_t cut_of(std::u32string_view word, std::size_t room, bool at_hyphens) {
  if (!at_hyphens || word.size() <= room || room == 0) return room;
  const std::size_t hyphen = word.rfind(U'-', room - 1);
  const bool good = hyphen != word.npos && hyphen > 0 &&
                    word.substr(0, hyphen).find_first_not_of(U'-') != word.npos;
  return good ? hyphen + 1 : room;
}

/// The lines that one line becomes.
std::vector<std::string> wrapped(std::string_view text, std::size_t width, bool breaks_words,
                                 bool at_hyphens) {
  const std::u32string line = characters_of(text);
  std::vector<std::u32string_view> chunks = Chunks(line, at_hyphens).run();
  std::reverse(chunks.begin(), chunks.end());
  std::vector<std::string> out;
  while (!chunks.empty()) {
    std::vector<std::u32string_view> current;
    std::size_t size = 0;
    if (!out.empty() && is_blank(chunks.back())) chunks.pop_back();
    while (!chunks.empty() && size + chunks.back().size() <= width) {
      current.push_back(chunks.back());
      size += chunks.back().size();
      chunks.pop_back();
    }
    if (!chunks.empty() && chunks.back().size() > width) {
      if (breaks_words) {
        const std::size_t cut = cut_of(chunks.back(), width - size, at_hyphens);
        current.push_back(chunks.back().substr(0, cut));
        chunks.back().remove_prefix(cut);
      } else if (current.empty()) {
        current.push_back(chunks.back());
        chunks.pop_back();
      }
    }
    if (!current.empty() && is_blank(current.back())) current.pop_back();
    if (current.empty()) continue;
    std::string joined;
    for (const std::u32string_view part : current) joined += text_of(part);
    out.push_back(std::move(joined));
  }
  return out;
}

Value wordwrap(const Value& in, Arguments& a) {
  const std::int64_t width = a.integer("width", 79);
  const bool breaks_words = truth(a.take("break_long_words", true));
  const Value with = a.take("wrapstring", {});
  const bool at_hyphens = truth(a.take("break_on_hyphens", true));
  a.done();
  if (!in.is_text()) throw Failure(cat("wordwrap needs a str, not a ", in.type_name()));
  const std::string between = with.is_none() ? "\n" : str(with, a.limits);
  std::string out;
  bool first = true;
  for (const std::string_view line : lines_of(*in.text(), false)) {
    if (width <= 0 && !line.empty()) throw Failure("the width must be above 0");
    a.limits.step(line.size());
    std::string joined;
    for (const std::string& part :
         wrapped(line, static_cast<std::size_t>(width), breaks_words, at_hyphens)) {
      joined += (joined.empty() ? "" : between) + part;
      a.limits.text(joined.size());
    }
    if (!first) out += between;
    first = false;
    out += joined;
    a.limits.text(out.size());
  }
  return out;
}

/// The text behind "&", where it is an entity that is known; a name that is not known fails.
void unescape(std::string_view text, std::size_t& at, std::string& out) {
  constexpr std::pair<std::string_view, char> known[] = {
      {"amp;", '&'},   {"lt;", '<'},   {"gt;", '>'}, {"quot;", '"'},
      {"apos;", '\''}, {"#39;", '\''}, {"#34;", '"'}};
  for (const auto& [name, c] : known) {
    if (text.substr(at + 1, name.size()) != name) continue;
    out += c;
    at += 1 + name.size();
    return;
  }
  const char next = at + 1 < text.size() ? text[at + 1] : ' ';
  if (next == '#' || (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z')) {
    throw Failure("striptags knows no entities but amp, lt, gt, quot, apos and those of quotes");
  }
  out += text[at++];
}

Value striptags(const Value& in, Arguments& a) {
  a.done();
  const std::string text = str(in, a.limits);
  std::string bare;
  std::size_t at = 0;
  for (std::size_t begin; (begin = text.find('<', at)) != text.npos;) {
    const bool comment = text.compare(begin, 4, "<!--") == 0;
    const std::size_t end = comment ? text.find("-->", begin + 4) : text.find('>', begin);
    if (end == text.npos) break;
    bare.append(text, at, begin - at);
    at = end + (comment ? 3 : 1);
  }
  bare.append(text, at, text.npos);
  std::string spaced;
  bool waits = false;
  for (std::size_t i = 0; i < bare.size();) {
    const std::size_t begin = i;
    if (is_space(utf8_next(bare, i))) {
      waits = !spaced.empty();
      continue;
    }
    if (std::exchange(waits, false)) spaced += ' ';
    spaced.append(bare, begin, i - begin);
  }
  std::string out;
  for (std::size_t i = 0; i < spaced.size();) {
    spaced[i] == '&' ? unescape(spaced, i, out) : out.push_back(spaced[i++]);
  }
  return out;
}

Value xmlattr(const Value& in, Arguments& a) {
  const bool space = truth(a.take("autospace", true));
  a.done();
  if (in.dict() == nullptr) throw Failure(cat("xmlattr needs a dict, not a ", in.type_name()));
  std::string out;
  for (const auto& [key, value] : in.dict()->items) {
    if (value.is_none() || value.is_undefined()) continue;
    if (!key.is_text()) throw Failure(cat("a ", key.type_name(), " is no name of an attribute"));
    const std::u32string name = characters_of(*key.text());
    if (std::any_of(name.begin(), name.end(),
                    [](char32_t c) { return is_space(c) || c == '/' || c == '>' || c == '='; })) {
      throw Failure(cat("'", *key.text(), "' is no name of an attribute"));
    }
    if (!out.empty() || space) out += ' ';
    out += escaped(key, a.limits) + "=\"" + escaped(value, a.limits) + "\"";
    a.limits.text(out.size());
  }
  return out;
}

Value filesizeformat(const Value& in, Arguments& a) {
  const bool binary = truth(a.take("binary", false));
  a.done();
  Arguments none({Value()}, {}, a.limits);
  const Value number = find_text_filter("float")(in, none);
  if (!number.is_real())
    throw Failure(cat("filesizeformat needs a number, not a ", in.type_name()));
  const double bytes = number.as_real(), base = binary ? 1024 : 1000;
  if (bytes == 1) return "1 Byte";
  if (bytes < base && !std::isfinite(bytes)) throw Failure("a size that is not finite");
  if (bytes < base)
    return cat(str(Value(static_cast<std::int64_t>(std::max(bytes, -9e18))), a.limits), " Bytes");
  constexpr std::string_view prefixes = "kMGTPEZY";
  double unit = base * base;
  std::size_t i = 0;
  for (; i + 1 < prefixes.size() && !(bytes < unit); ++i) unit *= base;
  std::array<char, 400> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.1f", base * bytes / unit);
  const char prefix = binary && i == 0 ? 'K' : prefixes[i];
  return cat(buffer.data(), " ", prefix, binary ? "iB" : "B");
}

Value pprint(const Value& in, Arguments& a) {
  a.done();
  return pretty_text(in, a.limits);
}

constexpr Named<Filter> filters[] = {{"filesizeformat", filesizeformat},
                                     {"pprint", pprint},
                                     {"striptags", striptags},
                                     {"wordwrap", wordwrap},
                                     {"xmlattr", xmlattr}};

}  // namespace

Filter find_layout_filter(std::string_view name) {
  return find_named(filters, name);
}

}  // namespace graft::core::jinja
