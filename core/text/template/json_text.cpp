// Values to JSON, as Python's json.dumps writes them.
#include <algorithm>
#include <cmath>

#include "core/text/template/builtins.hpp"
#include "core/text/template/python.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

class Writer {
 public:
  Writer(const Value& indent, bool ascii, bool sort, std::string_view comma, std::string_view colon,
         Limits& limits)
      : lines_(!indent.is_none()),
        ascii_(ascii),
        sort_(sort),
        comma_(comma),
        colon_(colon),
        limits_(limits) {
    if (!lines_) return;
    if (indent.is_text()) {
      step_ = *indent.text();
    } else if (indent.is_integer()) {
      const std::int64_t width = std::max<std::int64_t>(indent.as_integer(), 0);
      if (width > 64) throw Failure("an indent wider than 64");
      step_.assign(static_cast<std::size_t>(width), ' ');
    } else {
      throw Failure(cat("the indent must be an int or a str, not a ", indent.type_name()));
    }
  }

  void value(const Value& v, int depth) {
    limits_.step();
    if (v.is_text()) {
      text(*v.text());
    } else if (v.is_none()) {
      out_ += "null";
    } else if (v.is_boolean()) {
      out_ += truth(v) ? "true" : "false";
    } else if (v.is_real()) {
      real(v.as_real());
    } else if (v.is_number()) {
      out_ += std::to_string(v.as_integer());
    } else if (v.is_plain_row()) {
      list(*v.list(), depth);
    } else if (v.dict() != nullptr) {
      dict(*v.dict(), depth);
    } else {
      throw Failure(cat("a value of type ", v.type_name(), " cannot be written as JSON"));
    }
    if (out_.size() > longest_text) limits_.text(out_.size());
  }

  std::string take() { return std::move(out_); }

 private:
  void real(double v) {
    out_ += std::isnan(v)   ? "NaN"
            : std::isinf(v) ? (v < 0 ? "-Infinity" : "Infinity")
                            : float_text(v);
  }

  void new_line(int depth) {
    if (!lines_) return;
    out_ += '\n';
    for (int i = 0; i < depth; ++i) out_ += step_;
  }

  void list(const List& items, int depth) {
    if (items.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += comma_;
      new_line(depth + 1);
      value(items[i], depth + 1);
    }
    new_line(depth);
    out_ += ']';
  }

  void dict(const Dict& dict, int depth) {
    if (dict.items.empty()) {
      out_ += "{}";
      return;
    }
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : dict.items) items.push_back(&item);
    if (sort_) {
      std::sort(items.begin(), items.end(),
                [&](const auto* a, const auto* b) { return less(a->first, b->first, limits_); });
    }
    out_ += '{';
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += comma_;
      new_line(depth + 1);
      key(items[i]->first);
      out_ += colon_;
      value(items[i]->second, depth + 1);
    }
    new_line(depth);
    out_ += '}';
  }

  void key(const Value& v) {
    if (v.is_text()) return text(*v.text());
    if (!v.is_number() && !v.is_none()) {
      throw Failure(cat("a key of type ", v.type_name(), " cannot be written as JSON"));
    }
    out_ += '"';
    value(v, 0);
    out_ += '"';
  }

  void unit(char32_t c) {
    constexpr char digits[] = "0123456789abcdef";
    out_ += "\\u";
    for (const int shift : {12, 8, 4, 0}) out_ += digits[(c >> shift) & 15];
  }

  void text(std::string_view text) {
    limits_.text(text.size());
    out_ += '"';
    for (std::size_t at = 0; at < text.size();) {
      const char32_t c = utf8_next(text, at);
      constexpr std::string_view from = "\"\\\n\r\t\b\f", to = "\"\\nrtbf";
      const std::size_t known = c < 0x80 ? from.find(static_cast<char>(c)) : from.npos;
      if (known != from.npos) {
        out_ += '\\';
        out_ += to[known];
      } else if (c < 0x20 || (ascii_ && c >= 0x80 && c < 0x10000)) {
        unit(c);
      } else if (ascii_ && c >= 0x10000) {
        unit(0xD800 + ((c - 0x10000) >> 10));
        unit(0xDC00 + ((c - 0x10000) & 0x3FF));
      } else {
        append_utf8(out_, c);
      }
    }
    out_ += '"';
  }

  bool lines_, ascii_, sort_;
  std::string step_, comma_, colon_;
  Limits& limits_;
  std::string out_;
};

}  // namespace

std::string to_json_text(const Value& value, const Value& indent, bool ensure_ascii, bool sort_keys,
                         std::string_view comma, std::string_view colon, Limits& limits) {
  Writer writer(indent, ensure_ascii, sort_keys, comma, colon, limits);
  writer.value(value, 0);
  return writer.take();
}

}  // namespace graft::core::jinja
