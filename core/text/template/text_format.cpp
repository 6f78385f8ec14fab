// "%s" % values and "{}".format(values).
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/text/template/python.hpp"
#include "core/text/template/text_methods.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

/// How one value is to be written.
struct Spec {
  std::string fill = " ";
  char align = 0;  // < > ^ =
  char sign = '-';
  bool alternate = false, commas = false;
  int width = 0, precision = -1;
  char type = 0;
};

constexpr int widest = 100'000, most_digits = 300;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int take_number(std::string_view text, std::size_t& at, int most) {
  int value = 0;
  for (; at < text.size() && is_digit(text[at]); ++at) {
    value = value * 10 + (text[at] - '0');
    if (value > most) throw Failure(cat("a number above ", most, " in a format"));
  }
  return value;
}

/// Digits of a number that is not negative.
std::string digits_of(const Value& value, const Spec& spec) {
  char buffer[700];
  const char type = spec.type == 0 ? (value.is_real() ? 'r' : 'd') : spec.type;
  if (std::string_view("bdoxXiu").find(type) != std::string_view::npos) {
    auto number = static_cast<std::uint64_t>(value.as_integer());
    if (value.as_integer() < 0) number = 0 - number;
    const unsigned base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
    std::string out;
    const char* digits = type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    do out += digits[number % base];
    while ((number /= base) != 0);
    if (spec.commas) {
      for (std::size_t i = 3; i < out.size(); i += 4) out.insert(i, ",");
    }
    std::reverse(out.begin(), out.end());
    return spec.alternate && base != 10 ? std::string("0") + type + out : out;
  }
  const double number = std::fabs(value.as_real());
  if (type == 'r')
    return spec.precision < 0 ? float_text(number) : throw Failure("no type of number in a format");
  const bool percent = type == '%';
  const char form[] = {'%', '.', '*', percent ? 'f' : type, '\0'};
  std::snprintf(buffer, sizeof buffer, form, spec.precision < 0 ? 6 : spec.precision,
                percent ? number * 100 : number);
  std::string out = buffer;
  if (spec.commas) {
    const std::size_t end = std::min(out.find_first_not_of("0123456789"), out.size());
    for (std::size_t i = end; i > 3; i -= 3) out.insert(i - 3, ",");
  }
  return percent ? out + "%" : out;
}

std::string padded(const std::string& sign, const std::string& text, const Spec& spec, char align,
                   Limits& limits) {
  const auto size = static_cast<int>(std::min<std::size_t>(length(Value(sign + text)), widest));
  const int room = std::max(0, spec.width - size);
  limits.text(text.size() + static_cast<std::size_t>(room) * spec.fill.size());
  const auto fill = [&](int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += spec.fill;
    return out;
  };
  if (align == '=') return sign + fill(room) + text;
  if (align == '<') return sign + text + fill(room);
  if (align == '^') return fill(room / 2) + sign + text + fill(room - room / 2);
  return fill(room) + sign + text;
}

std::string number_text(const Value& value, const Spec& spec, Limits& limits) {
  const bool negative = value.is_integer() ? value.as_integer() < 0 : std::signbit(value.as_real());
  const std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  return padded(sign, digits_of(value, spec), spec, spec.align == 0 ? '>' : spec.align, limits);
}

std::string cut(const std::string& text, int characters, Limits& limits) {
  if (characters < 0) return text;
  return *slice(text, Value(), Value(std::int64_t{characters}), Value(), limits).text();
}

/// One conversion of "%".
std::string converted(const Value& value, Spec spec, Limits& limits) {
  const char type = spec.type;
  if (type == 'c') {
    std::string character;
    if (value.is_text() && length(value) == 1) {
      character = *value.text();
    } else if (value.is_integer() && value.as_integer() >= 0 && value.as_integer() < 0x110000 &&
               (value.as_integer() < 0xD800 || value.as_integer() >= 0xE000)) {
      append_utf8(character, static_cast<char32_t>(value.as_integer()));
    } else {
      throw Failure(cat("'%c' needs a character or its number, not a ", value.type_name()));
    }
    if (spec.align == '=') spec.align = '>', spec.fill = " ";
    return padded("", character, spec, spec.align, limits);
  }
  if (type == 's' || type == 'r') {
    const std::string text = type == 's' ? str(value, limits) : repr(value, limits);
    if (spec.align == '=') spec.align = '>', spec.fill = " ";
    return padded("", cut(text, spec.precision, limits), spec, spec.align, limits);
  }
  const bool whole = std::string_view("diuxXo").find(type) != std::string_view::npos;
  if (!whole && std::string_view("eEfFgG").find(type) == std::string_view::npos) {
    throw Failure(cat("the conversion '%", type, "' is not supported"));
  }
  const bool cuts = type == 'd' || type == 'i' || type == 'u';
  if (!value.is_number() || (whole && !cuts && !value.is_integer())) {
    throw Failure(cat("'%", type, "' needs a number, not a ", value.type_name()));
  }
  if (whole && value.is_real()) {
    if (!(std::fabs(value.as_real()) < 9.2e18)) throw Failure("the integer is too large");
    return number_text(static_cast<std::int64_t>(value.as_real()), spec, limits);
  }
  return number_text(value, spec, limits);
}

/// What stands behind the colon of "{:..}".
Spec parsed_spec(std::string_view text) {
  Spec spec;
  std::size_t at = 0;
  const auto is_align = [&](std::size_t i) {
    return i < text.size() && std::string_view("<>^=").find(text[i]) != std::string_view::npos;
  };
  std::size_t after_fill = 0;
  if (!text.empty()) utf8_next(text, after_fill);
  if (after_fill > 0 && is_align(after_fill)) {
    spec.fill = text.substr(0, after_fill);
    at = after_fill;
  }
  if (is_align(at)) spec.align = text[at++];
  if (at < text.size() && (text[at] == '+' || text[at] == '-' || text[at] == ' ')) {
    spec.sign = text[at++];
  }
  if (at < text.size() && text[at] == '#') spec.alternate = true, ++at;
  if (at < text.size() && text[at] == '0') {
    if (spec.align == 0) spec.align = '=', spec.fill = "0";
    ++at;
  }
  spec.width = take_number(text, at, widest);
  if (at < text.size() && text[at] == ',') spec.commas = true, ++at;
  if (at < text.size() && text[at] == '.') spec.precision = take_number(text, ++at, most_digits);
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) throw Failure(cat("the format '", text, "' is not supported"));
  return spec;
}

/// A value by "{:..}".
std::string formatted_value(const Value& value, std::string_view text, Limits& limits) {
  if (text.empty()) return str(value, limits);
  const Spec spec = parsed_spec(text);
  if (value.is_text() && (spec.type == 0 || spec.type == 's') && spec.align != '=') {
    return padded("", cut(*value.text(), spec.precision, limits), spec,
                  spec.align == 0 ? '<' : spec.align, limits);
  }
  const std::string_view whole = "bdoxX", real = "eEfFgG%";
  const bool fits = spec.type == 0 || real.find(spec.type) != real.npos ||
                    (value.is_integer() && whole.find(spec.type) != whole.npos);
  if (value.is_number() && fits && !(value.is_boolean() && spec.type == 0)) {
    return number_text(value, spec, limits);
  }
  throw Failure(cat("the format '", text, "' is not one of a ", value.type_name()));
}

/// The value that "0.name[key]" tells, with the arguments of format().
class Fields {
 public:
  explicit Fields(Arguments& a)
      : positional_(a.rest()), named_(a.rest_named()), limits_(a.limits) {}

  Value find(std::string_view field) {
    const std::size_t end = std::min(field.find_first_of(".["), field.size());
    Value value = first(field.substr(0, end));
    for (std::size_t at = end; at < field.size();) {
      const bool key = field[at] == '[';
      const std::size_t stop =
          key ? field.find(']', at) : std::min(field.find_first_of(".[", at + 1), field.size());
      if (stop == field.npos) throw Failure("a format without its ']'");
      const std::string_view name = field.substr(at + 1, stop - at - 1);
      const bool index = key && !name.empty() && name.size() < 10 &&
                         std::all_of(name.begin(), name.end(), is_digit);
      value = index ? subscript(value, Value::integer(std::stoul(std::string(name))), limits_)
              : key ? subscript(value, name, limits_)
                    : attribute(value, name);
      at = key ? stop + 1 : stop;
    }
    return value;
  }

 private:
  Value first(std::string_view name) {
    if (name.empty()) return at(next_++);
    if (name.size() < 10 && std::all_of(name.begin(), name.end(), is_digit)) {
      return at(std::stoul(std::string(name)));
    }
    for (const auto& [key, value] : named_) {
      if (key == name) return value;
    }
    throw Failure(cat("the format needs an argument '", name, "'"));
  }
  Value at(std::size_t index) const {
    if (index < positional_.size()) return positional_[index];
    throw Failure("not enough arguments for the format");
  }

  List positional_;
  std::vector<std::pair<std::string, Value>> named_;
  std::size_t next_ = 0;
  Limits& limits_;
};

/// The member of `values` that "(name)" at `at` names; at goes behind it.
const Value& member_of(const Value& values, std::string_view format, std::size_t& at) {
  std::size_t deep = 0, end = at;
  do {
    if (end == format.size()) throw Failure("a name in a format has no end");
    deep += format[end] == '(' ? 1 : 0;
    deep -= format[end] == ')' ? 1 : 0;
    ++end;
  } while (deep > 0);
  const std::string_view name = format.substr(at + 1, end - at - 2);
  if (values.dict() == nullptr) throw Failure(cat("the format's '%(", name, ")' needs a dict"));
  const Value* found = values.dict()->find(name);
  if (found == nullptr) throw Failure(cat("the format's '%(", name, ")' is not in the dict"));
  at = end;
  return *found;
}

}  // namespace

std::string formatted(std::string_view format, const Value& values, Limits& limits) {
  const List items = values.is_tuple() ? *values.list() : List{values};
  std::string out;
  std::size_t next = 0;
  bool by_name = false;
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
    Spec spec;
    spec.align = '>';
    const Value* named = nullptr;
    if (format[at] == '(') {
      named = &member_of(values, format, at);
      by_name = true;
    }
    for (; at < format.size(); ++at) {
      const char flag = format[at];
      if (flag == '-') {
        spec.align = '<', spec.fill = " ";
      } else if (flag == '0') {
        if (spec.align != '<') spec.align = '=', spec.fill = "0";
      } else if (flag == '+' || (flag == ' ' && spec.sign != '+')) {
        spec.sign = flag;
      } else if (flag == '#') {
        spec.alternate = true;
      } else if (flag != ' ') {
        break;
      }
    }
    spec.width = take_number(format, at, widest);
    if (at < format.size() && format[at] == '.') {
      spec.precision = take_number(format, ++at, most_digits);
    }
    if (at == format.size()) throw Failure("incomplete format");
    if (named == nullptr && (next == items.size() || by_name)) {
      throw Failure("not enough arguments for the format");
    }
    spec.type = format[at];
    out += converted(named != nullptr ? *named : items[next++], spec, limits);
    limits.text(out.size());
  }
  // What may be asked for members by name need not be used.
  const bool members = values.dict() != nullptr || values.is_row(RowKind::list) ||
                       values.is_row(RowKind::range) || values.is_undefined();
  if (next < items.size() && !members) {
    throw Failure("not all arguments of the format are used");
  }
  return out;
}

Value text_format(const std::string& format, Arguments& a) {
  Fields fields(a);
  std::string out;
  for (std::size_t at = 0; at < format.size(); ++at) {
    const char c = format[at];
    if ((c == '{' || c == '}') && at + 1 < format.size() && format[at + 1] == c) {
      out += c;
      ++at;
      continue;
    }
    if (c == '}') throw Failure("a single '}' in a format");
    if (c != '{') {
      out += c;
      continue;
    }
    const std::size_t end = format.find_first_of("{}", at + 1);
    if (end == format.npos) throw Failure("a single '{' in a format");
    if (format[end] == '{') throw Failure("a format inside of a format is not supported");
    const std::string_view field = std::string_view(format).substr(at + 1, end - at - 1);
    const std::size_t colon = std::min(field.find(':'), field.size());
    std::string_view name = field.substr(0, colon);
    char conversion = 0;
    if (name.size() >= 2 && name[name.size() - 2] == '!') {
      conversion = name.back();
      name.remove_suffix(2);
    }
    Value value = fields.find(name);
    if (conversion == 'r') value = repr(value, a.limits);
    if (conversion == 's') value = str(value, a.limits);
    if (conversion != 0 && conversion != 'r' && conversion != 's') {
      throw Failure(cat("the conversion '!", conversion, "' is not supported"));
    }
    const std::string_view spec = colon < field.size() ? field.substr(colon + 1) : "";
    out += formatted_value(value, spec, a.limits);
    a.limits.text(out.size());
    at = end;
  }
  return out;
}

}  // namespace graft::core::jinja
