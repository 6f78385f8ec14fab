#include "core/text/template/pretty.hpp"

#include <algorithm>

#include "core/text/template/python.hpp"
#include "core/text/template/text_methods.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

class Pretty {
 public:
  explicit Pretty(Limits& limits) : limits_(limits) {}

  std::string run(const Value& value) {
    write(sorted(value, 0), 0, 0, 1);
    return std::move(out_);
  }

 private:
  static constexpr std::size_t width = 80;

  Value sorted(const Value& value, int depth) {
    limits_.step();
    if (depth > 2 * deepest_nesting) throw Failure("a value nested too deep to be printed");
    if (value.dict() != nullptr) {
      Dict out = *value.dict();
      std::stable_sort(out.items.begin(), out.items.end(), [&](const auto& x, const auto& y) {
        const Value &a = x.first, &b = y.first;
        const bool ordered = (a.is_number() && b.is_number()) || (a.is_text() && b.is_text());
        return ordered ? less(a, b, limits_) : a.type_name() < b.type_name();
      });
      for (auto& [key, item] : out.items) item = sorted(item, depth + 1);
      return out;
    }
    if (!value.is_plain_row()) return value;
    List out = *value.list();
    for (Value& item : out) item = sorted(item, depth + 1);
    return value.is_tuple() ? Value::tuple(std::move(out)) : Value::list(std::move(out));
  }

  /// Begins in column `indent`; `after` characters follow the last line. `level` is 1 for the whole.
  void write(const Value& value, std::size_t indent, std::size_t after, int level) {
    const std::string whole = repr(value, limits_);
    const bool plain_text = value.is_text() && !value.is_markup();
    if (length(Value(whole)) + indent + after <= width ||
        (!plain_text && value.dict() == nullptr && !value.is_plain_row())) {
      out_ += whole;
    } else if (plain_text) {
      write_text(*value.text(), indent, after, level);
    } else if (value.dict() != nullptr) {
      write_dict(*value.dict(), indent, after);
    } else {
      write_row(value, indent, after);
    }
    limits_.text(out_.size());
  }

  void new_line(std::size_t indent) { out_.append("\n").append(indent, ' '); }

  void write_dict(const Dict& dict, std::size_t indent, std::size_t after) {
    out_ += '{';
    for (std::size_t i = 0; i < dict.items.size(); ++i) {
      const std::string key = repr(dict.items[i].first, limits_) + ": ";
      if (i > 0) new_line(indent + 1);
      out_ += key;
      const bool last = i + 1 == dict.items.size();
      write(dict.items[i].second, indent + 1 + length(Value(key)), last ? after + 1 : 1, 2);
      out_ += last ? '}' : ',';
    }
    if (dict.items.empty()) out_ += '}';
  }

  void write_row(const Value& value, std::size_t indent, std::size_t after) {
    const List& items = *value.list();
    const std::string end = !value.is_tuple() ? "]" : items.size() == 1 ? ",)" : ")";
    out_ += value.is_tuple() ? '(' : '[';
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) new_line(indent + 1);
      const bool last = i + 1 == items.size();
      write(items[i], indent + 1, last ? after + end.size() : 1, 2);
      if (!last) out_ += ',';
    }
    out_ += end;
  }

  std::size_t size_of(std::string_view text) { return length(Value(repr(Value(text), limits_))); }

  /// A text in parts, each in quotes on a line of its own.
  void write_text(const std::string& text, std::size_t indent, std::size_t after, int level) {
    const bool brackets = level == 1;
    if (brackets) ++indent, ++after;
    const std::size_t room = width > indent ? width - indent : 0;
    const std::size_t last_room = room > after ? room - after : 0;
    std::vector<std::string> parts;
    const std::vector<std::string_view> lines = lines_of(text, true);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const bool last = i + 1 == lines.size();
      if (size_of(lines[i]) <= (last ? last_room : room)) {
        parts.push_back(repr(Value(lines[i]), limits_));
      } else {
        add_words(lines[i], room, last ? last_room : room, parts);
      }
    }
    if (parts.size() == 1) {
      out_ += parts[0];
      return;
    }
    if (brackets) out_ += '(';
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (i > 0) new_line(indent);
      out_ += parts[i];
    }
    if (brackets) out_ += ')';
  }

  /// As many words with the spaces behind them as there is room for.
  void add_words(std::string_view line, std::size_t room, std::size_t last_room,
                 std::vector<std::string>& parts) {
    std::string current;
    for (std::size_t at = 0; at < line.size();) {
      const std::size_t begin = at;
      bool spaces = false;
      for (std::size_t next = at; next < line.size(); at = next) {
        const bool space = is_space(utf8_next(line, next));
        if (spaces && !space) break;
        spaces = space;
      }
      const std::string_view word = line.substr(begin, at - begin);
      limits_.step(1 + current.size() / 8);
      if (size_of(current + std::string(word)) <= (at == line.size() ? last_room : room)) {
        current += word;
        continue;
      }
      if (!current.empty()) parts.push_back(repr(Value(current), limits_));
      current = word;
    }
    if (!current.empty()) parts.push_back(repr(Value(current), limits_));
  }

  Limits& limits_;
  std::string out_;
};

}  // namespace

std::string pretty_text(const Value& value, Limits& limits) {
  return Pretty(limits).run(value);
}

}  // namespace graft::core::jinja
