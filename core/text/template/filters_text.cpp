// Filters of text and numbers.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/text/template/filters.hpp"
#include "core/text/template/python.hpp"
#include "core/text/template/text_methods.hpp"
#include "core/text/unicode.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

Value escape(const Value& in, Arguments& a) {
  a.done();
  const std::string text = str(in, a.limits);
  a.limits.text(6 * text.size());
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

/// Every word begins with a capital, the rest is small; words also begin after - ( { [ <.
Value title(const Value& in, Arguments& a) {
  a.done();
  const std::string text = str(in, a.limits);
  a.limits.text(2 * text.size());
  std::string out, word;
  const auto end_word = [&] {
    if (word.empty()) return;
    std::size_t first = 0;
    utf8_next(word, first);
    out += upper(word.substr(0, first)) + lower(word.substr(first));
    word.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = utf8_next(text, at);
    const bool parts = is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    if (!parts) {
      word.append(text, begin, at - begin);
      continue;
    }
    end_word();
    out.append(text, begin, at - begin);
  }
  end_word();
  return out;
}

Value center(const Value& in, Arguments& a) {
  const std::int64_t width = a.integer("width", 80);
  a.done();
  const std::string text = str(in, a.limits);
  const auto size = static_cast<std::int64_t>(length(Value(text)));
  if (width <= size) return text;
  a.limits.text(static_cast<std::size_t>(width));
  const std::int64_t space = width - size, left = space / 2 + (space & width & 1);
  return std::string(static_cast<std::size_t>(left), ' ') + text +
         std::string(static_cast<std::size_t>(space - left), ' ');
}

Value truncate(const Value& in, Arguments& a) {
  const std::int64_t most = a.integer("length", 255);
  const bool cut_words = truth(a.take("killwords", false));
  const std::string end = a.text("end", "...");
  const std::int64_t leeway = a.integer("leeway", 5);
  a.done();
  if (!in.is_text()) throw Failure(cat("truncate needs a str, not a ", in.type_name()));
  const std::string& text = *in.text();
  const auto size_of = [](const std::string& t) {
    return static_cast<std::int64_t>(length(Value(t)));
  };
  if (most < size_of(end) || leeway < 0) throw Failure("truncate needs room for its end");
  if (size_of(text) <= most + leeway) return text;
  std::string kept = *slice(text, Value(), Value(most - size_of(end)), Value(), a.limits).text();
  const std::size_t space = kept.rfind(' ');
  if (!cut_words && space != kept.npos) kept.resize(space);
  return kept + end;
}

Value wordcount(const Value& in, Arguments& a) {
  a.done();
  const std::string text = str(in, a.limits);
  std::int64_t words = 0;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const bool is_word = is_word_character(utf8_next(text, at));
    words += is_word && !inside ? 1 : 0;
    inside = is_word;
  }
  return words;
}

Value urlencode(const Value& in, Arguments& a) {
  a.done();
  const std::string text = str(in, a.limits);
  a.limits.text(3 * text.size());
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~/").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      constexpr char digits[] = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

Value absolute(const Value& in, Arguments& a) {
  a.done();
  if (in.is_integer()) return in.as_integer() < 0 ? negative(in) : Value(in.as_integer());
  if (in.is_real()) return std::fabs(in.as_real());
  throw Failure(cat("abs needs a number, not a ", in.type_name()));
}

Value real(const Value& in, Arguments& a) {
  const Value otherwise = a.take("default", 0.0);
  a.done();
  if (in.is_number()) return in.as_real();
  if (!in.is_text()) return otherwise;
  const std::string_view text = strip(*in.text(), true, true);
  double value = 0;
  const auto done = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = !text.empty() && done.ptr == text.data() + text.size();
  return whole && done.ec == std::errc() ? Value(value) : otherwise;
}

/// To even where it is in the middle, as Python has it; always a float.
Value rounded(const Value& in, Arguments& a) {
  const std::int64_t digits = a.integer("precision", 0);
  const std::string method = a.text("method", "common");
  a.done();
  if (!in.is_number()) throw Failure(cat("round needs a number, not a ", in.type_name()));
  if (digits < -300 || digits > 300) throw Failure("round to so many digits");
  const double value = in.as_real(), scale = std::pow(10.0, static_cast<double>(digits));
  if (method == "ceil") return std::ceil(value * scale) / scale;
  if (method == "floor") return std::floor(value * scale) / scale;
  if (method != "common") throw Failure("the method of round must be common, ceil or floor");
  if (digits <= 0 || std::fabs(value) > 1e15) return std::nearbyint(value * scale) / scale;
  // The digits of the exact value decide, not those of a product.
  char buffer[700];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed,
                                 static_cast<int>(digits));
  double out = value;
  std::from_chars(buffer, end.ptr, out);
  return out;
}

Value format(const Value& in, Arguments& a) {
  const List values = a.rest();
  a.done();
  return formatted(str(in, a.limits), Value::tuple(values), a.limits);
}

struct Entry {
  std::string_view name;
  Filter filter;
};

constexpr Entry filters[] = {
    {"abs", absolute},      {"center", center},       {"e", escape},
    {"escape", escape},     {"float", real},          {"forceescape", escape},
    {"format", format},     {"round", rounded},       {"title", title},
    {"truncate", truncate}, {"urlencode", urlencode}, {"wordcount", wordcount},
};

/// One conversion of a format.
std::string converted(char kind, const Value& value, int precision, Limits& limits) {
  switch (kind) {
    case 's':
      return str(value, limits);
    case 'r':
      return repr(value, limits);
    case 'd':
    case 'i':
      if (!value.is_number()) break;
      return std::to_string(value.is_integer() ? value.as_integer()
                                               : static_cast<std::int64_t>(value.as_real()));
    case 'f': {
      if (!value.is_number()) break;
      char buffer[700];
      const auto end = std::to_chars(buffer, buffer + sizeof buffer, value.as_real(),
                                     std::chars_format::fixed, precision < 0 ? 6 : precision);
      return {buffer, end.ptr};
    }
    default:
      throw Failure(cat("the conversion '%", kind, "' is not supported"));
  }
  throw Failure(cat("'%", kind, "' needs a number, not a ", value.type_name()));
}

}  // namespace

std::string formatted(std::string_view format, const Value& values, Limits& limits) {
  const List items = values.is_tuple() ? *values.list() : List{values};
  std::string out;
  std::size_t next = 0;
  for (std::size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      out += format[at];
      continue;
    }
    if (++at == format.size()) throw Failure("incomplete format");
    if (format[at] == '%') {
      out += '%';
      continue;
    }
    bool left = false, zeros = false;
    for (; at < format.size() && (format[at] == '-' || format[at] == '0'); ++at) {
      (format[at] == '-' ? left : zeros) = true;
    }
    const auto number = [&](int otherwise) {
      int value = otherwise;
      for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at) {
        value = std::min(std::max(value, 0) * 10 + (format[at] - '0'), 10000);
      }
      return value;
    };
    const int width = number(0);
    int precision = -1;
    if (at < format.size() && format[at] == '.') {
      ++at;
      precision = std::min(number(0), 300);
    }
    if (at == format.size()) throw Failure("incomplete format");
    if (next == items.size()) throw Failure("not enough arguments for the format");
    std::string text = converted(format[at], items[next++], precision, limits);
    if (format[at] == 's' && precision >= 0) {
      text = *slice(text, Value(), Value(std::int64_t{precision}), Value(), limits).text();
    }
    const auto size = static_cast<int>(length(Value(text)));
    const std::string fill(static_cast<std::size_t>(std::max(0, width - size)),
                           zeros && !left && format[at] != 's' ? '0' : ' ');
    out += left ? text + fill : fill + text;
    limits.text(out.size());
  }
  if (next < items.size() && values.dict() == nullptr) {
    throw Failure("not all arguments of the format are used");
  }
  return out;
}

Filter find_text_filter(std::string_view name) {
  const auto found = std::find_if(std::begin(filters), std::end(filters),
                                  [&](const Entry& entry) { return entry.name == name; });
  return found != std::end(filters) ? found->filter : nullptr;
}

}  // namespace graft::core::jinja
