// str() and repr() of values, as Python writes them.
#include <utf8proc.h>

#include <array>
#include <charconv>
#include <cmath>

#include "core/text/template/ast.hpp"
#include "core/text/template/python.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
bool is_printable(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == ' ';
    default:
      return true;
  }
}

namespace {

std::string hex(char32_t c, int digits) {
  std::string out(static_cast<std::size_t>(digits), '0');
  for (int i = digits - 1; i >= 0; --i, c >>= 4) {
    out[static_cast<std::size_t>(i)] = "0123456789abcdef"[c & 15];
  }
  return out;
}

std::string quoted_text(std::string_view text) {
  const bool apostrophe = text.find('\'') != text.npos && text.find('"') == text.npos;
  const char quote = apostrophe ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = utf8_next(text, at);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      append_utf8(out, c);
    } else {
      out += c < 0x100 ? "\\x" + hex(c, 2) : c < 0x10000 ? "\\u" + hex(c, 4) : "\\U" + hex(c, 8);
    }
  }
  return out + quote;
}

/// What is neither text nor holds other values, and what only has a name.
std::string plain_text(const Value& value) {
  if (value.is_none()) return "None";
  if (value.is_boolean()) return truth(value) ? "True" : "False";
  if (value.is_integer()) return std::to_string(value.as_integer());
  if (value.is_real()) return float_text(value.as_real());
  if (const Bounds* b = value.bounds()) {
    return cat("range(", b->start, ", ", b->stop, b->step == 1 ? "" : cat(", ", b->step), ")");
  }
  if (const Loop* loop = value.loop()) {
    return cat("<LoopContext ", loop->index + 1, "/", loop->items->list()->size(), ">");
  }
  const Function* function = value.function();
  if (function != nullptr && function->body != nullptr) {
    return function->body->kind == StmtKind::macro ? cat("<Macro '", function->name, "'>")
                                                   : "<Macro anonymous>";
  }
  throw Failure(cat("a ", value.type_name(), " cannot be printed"));
}

void write(const Value& value, Limits& limits, std::string& out, int depth);

void write(const Dict& dict, Limits& limits, std::string& out, int depth) {
  out += '{';
  for (std::size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out += ", ";
    write(dict.items[i].first, limits, out, depth + 1);
    out += ": ";
    write(dict.items[i].second, limits, out, depth + 1);
  }
  out += '}';
}

void write(const Value& value, Limits& limits, std::string& out, int depth) {
  limits.step();
  // A namespace may hold itself.
  if (depth > 2 * deepest_nesting) throw Failure("a value nested too deep to be printed");
  if (const std::string* text = value.text()) {
    limits.text(text->size());
    out += value.is_markup() ? cat("Markup(", quoted_text(*text), ")") : quoted_text(*text);
  } else if (value.is_row(RowKind::generator)) {
    throw Failure("a generator cannot be printed");
  } else if (const List* list = value.bounds() == nullptr ? value.list() : nullptr) {
    if (!value.is_plain_row()) out += value.type_name() + "(";
    out += value.is_tuple() ? '(' : '[';
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (i > 0) out += ", ";
      write((*list)[i], limits, out, depth + 1);
    }
    if (value.is_tuple() && list->size() == 1) out += ',';
    out += value.is_tuple() ? ')' : ']';
    if (!value.is_plain_row()) out += ')';
  } else if (const Dict* dict = value.dict()) {
    write(*dict, limits, out, depth);
  } else if (const Dict* space = value.space()) {
    out += "<Namespace ";
    write(*space, limits, out, depth);
    out += '>';
  } else if (value.is_undefined()) {
    out += "Undefined";
  } else {
    out += plain_text(value);
  }
  if (out.size() > longest_text) limits.text(out.size());
}

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // The shortest digits that read back, then Python's choice of notation.
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific);
  std::string text(buffer.data(), end.ptr);
  const std::size_t mark = text.find('e');
  const int exponent = std::stoi(text.substr(mark + 1));
  if (exponent < -4 || exponent >= 16) return text;
  const auto fixed =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
  text.assign(buffer.data(), fixed.ptr);
  return text.find('.') == text.npos ? text + ".0" : text;
}

std::string str(const Value& value, Limits& limits) {
  if (const std::string* text = value.text()) {
    limits.text(text->size());
    return *text;
  }
  if (value.is_undefined()) return "";
  return repr(value, limits);
}

std::string escaped(const Value& value, Limits& limits) {
  const std::string text = str(value, limits);
  if (value.is_markup()) return text;
  limits.text(6 * text.size());
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

Value like(const Value& in, Value out) {
  return in.is_markup() && out.is_text() ? Value::markup(*out.text()) : out;
}

std::string repr(const Value& value, Limits& limits) {
  std::string out;
  write(value, limits, out, 0);
  return out;
}

}  // namespace graft::core::jinja
