// Filters of text and numbers.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "core/text/template/filters.hpp"
#include "core/text/template/named.hpp"
#include "core/text/template/python.hpp"
#include "core/text/template/text_methods.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

Value escape(const Value& in, Arguments& a) {
  a.done();
  return Value::markup(escaped(in, a.limits));
}

Value escape_again(const Value& in, Arguments& a) {
  a.done();
  return Value::markup(escaped(str(in, a.limits), a.limits));
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
  if (width <= size) return like(in, text);
  a.limits.text(static_cast<std::size_t>(width));
  const std::int64_t space = width - size, left = space / 2 + (space & width & 1);
  return like(in, std::string(static_cast<std::size_t>(left), ' ') + text +
                      std::string(static_cast<std::size_t>(space - left), ' '));
}

Value truncate(const Value& in, Arguments& a) {
  const std::int64_t most = a.integer("length", 255);
  const bool cut_words = truth(a.take("killwords", false));
  const std::string end = a.text("end", "...");
  const std::int64_t leeway = a.integer("leeway", 5);
  a.done();
  const auto size_of = [](const Value& v) { return static_cast<std::int64_t>(length(v)); };
  if (most < size_of(end) || leeway < 0) throw Failure("truncate needs room for its end");
  if (size_of(in) <= most + leeway) return in;
  if (!in.is_text()) throw Failure(cat("truncate needs a str, not a ", in.type_name()));
  const std::string& text = *in.text();
  std::string kept = *slice(text, Value(), Value(most - size_of(end)), Value(), a.limits).text();
  const std::size_t space = kept.rfind(' ');
  if (!cut_words && space != kept.npos) kept.resize(space);
  return like(in, kept + (in.is_markup() ? escaped(end, a.limits) : end));
}

Value wordcount(const Value& in, Arguments& a) {
  a.done();
  const std::string text = str(in, a.limits);
  std::int64_t words = 0;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const bool letter = jinja::is_word(utf8_next(text, at));
    words += letter && !inside ? 1 : 0;
    inside = letter;
  }
  return words;
}

/// A space in a query is a plus, and a slash is not plain there.
std::string url_quoted(const Value& in, bool in_query, Limits& limits) {
  const std::string text = str(in, limits);
  limits.text(3 * text.size());
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos ||
                       (c == '/' && !in_query);
    if (plain) {
      out += c;
    } else if (c == ' ' && in_query) {
      out += '+';
    } else {
      constexpr char digits[] = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

/// A text, or pairs of names and values as the query of an address.
Value urlencode(const Value& in, Arguments& a) {
  a.done();
  if (in.list() == nullptr && in.dict() == nullptr && !in.is_undefined()) {
    return url_quoted(in, false, a.limits);
  }
  List pairs = in.dict() == nullptr ? iterate(in, a.limits) : List();
  if (in.dict() != nullptr) {
    for (const auto& [key, value] : in.dict()->items) pairs.push_back(Value::tuple({key, value}));
  }
  std::string out;
  for (const Value& item : pairs) {
    const List pair = iterate(item, a.limits);
    if (pair.size() != 2) throw Failure(cat(pair.size(), " values for a name and a value"));
    if (!out.empty()) out += '&';
    out += url_quoted(pair[0], true, a.limits) + '=' + url_quoted(pair[1], true, a.limits);
    a.limits.text(out.size());
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
  if (const Undefined* u = in.undefined()) throw Failure(cat("'", u->name, "' is undefined"));
  if (in.is_number()) return in.as_real();
  if (!in.is_text()) return otherwise;
  std::string text = with_plain_digits(strip(*in.text(), true, true));
  const bool plus = text.starts_with('+') && !text.starts_with("+-");
  // Underscores may stand between digits.
  std::string digits;
  const auto is_digit = [&](std::size_t i) {
    return i < text.size() && text[i] >= '0' && text[i] <= '9';
  };
  for (std::size_t i = plus ? 1 : 0; i < text.size(); ++i) {
    if (text[i] != '_' || i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) digits += text[i];
  }
  double value = 0;
  const char* end = digits.data() + digits.size();
  const auto done = std::from_chars(digits.data(), end, value);
  if (digits.empty() || done.ptr != end) return otherwise;
  // Too large or too small for from_chars, which strtod makes infinite or nothing.
  return done.ec == std::errc() ? value : std::strtod(digits.c_str(), nullptr);
}

/// To even where it is in the middle.
Value rounded_integer(const Value& in, std::int64_t digits, Limits& limits) {
  const std::int64_t value = in.as_integer();
  if (digits >= 0) return value;
  if (digits < -18) return std::int64_t{0};
  std::int64_t unit = 1;
  for (std::int64_t i = digits; i < 0; ++i) unit *= 10;
  std::int64_t rest = value % unit;
  if (rest < 0) rest += unit;
  const bool odd = ((value - rest) / unit) % 2 != 0;
  const bool up = rest > unit / 2 || (rest == unit / 2 && odd);
  return arithmetic("+", arithmetic("-", value, rest, limits), up ? unit : std::int64_t{0}, limits);
}

/// To even where it is in the middle, as Python has it; an integer stays one.
Value rounded(const Value& in, Arguments& a) {
  const std::int64_t digits = a.integer("precision", 0);
  const std::string method = a.text("method", "common");
  a.done();
  if (method == "common" && in.is_integer()) return rounded_integer(in, digits, a.limits);
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
  Dict named;
  for (auto& [name, value] : a.rest_named()) named.set(name, std::move(value));
  if (!values.empty() && !named.items.empty()) throw Failure("arguments by place and by name");
  return arithmetic("%", in.is_text() ? in : Value(str(in, a.limits)),
                    !named.items.empty() ? Value(std::move(named)) : Value::tuple(values),
                    a.limits);
}

constexpr Named<Filter> filters[] = {
    {"abs", absolute},      {"center", center},       {"e", escape},
    {"escape", escape},     {"float", real},          {"forceescape", escape_again},
    {"format", format},     {"round", rounded},       {"title", title},
    {"truncate", truncate}, {"urlencode", urlencode}, {"wordcount", wordcount},
};

}  // namespace

Filter find_text_filter(std::string_view name) {
  return find_named(filters, name);
}

}  // namespace graft::core::jinja
