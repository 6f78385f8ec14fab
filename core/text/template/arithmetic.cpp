// Operators on values, and access by index.
#include <algorithm>
#include <cmath>

#include "core/text/template/python.hpp"
#include "core/text/utf8.hpp"

namespace graft::core::jinja {
namespace {

[[noreturn]] void unsupported(std::string_view op, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b}) {
    if (const Undefined* u = v->undefined()) throw Failure(cat("'", u->name, "' is undefined"));
  }
  throw Failure(cat("'", op, "' cannot be applied to a ", a.type_name(), " and a ", b.type_name()));
}

Value power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) throw Failure("0 to a negative power");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  std::int64_t result = 1;
  const bool trivial = base == 0 || base == 1 || base == -1;
  if (trivial) exponent = exponent == 0 ? 0 : 1 + (exponent - 1) % 2;
  for (std::int64_t i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) throw Failure("the integer is too large");
  }
  return result;
}

Value integers(std::string_view op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  if (op == "+") overflow = __builtin_add_overflow(a, b, &result);
  if (op == "-") overflow = __builtin_sub_overflow(a, b, &result);
  if (op == "*") overflow = __builtin_mul_overflow(a, b, &result);
  if (op == "**") return power(a, b);
  if (op == "/" || op == "//" || op == "%") {
    if (b == 0) throw Failure("division by zero");
    if (op == "/") return static_cast<double>(a) / static_cast<double>(b);
    if (b == -1) {
      if (op == "//") overflow = __builtin_sub_overflow(std::int64_t{0}, a, &result);
    } else {
      // Rounds down, and the remainder has the sign of b.
      const bool down = a % b != 0 && (a < 0) != (b < 0);
      result = op == "//" ? a / b - (down ? 1 : 0) : a % b + (down ? b : 0);
    }
  }
  if (overflow) throw Failure("the integer is too large");
  return result;
}

Value reals(std::string_view op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**" && a < 0 && b != std::floor(b)) throw Failure("complex numbers are not supported");
  if (op == "**" && a == 0 && b < 0) throw Failure("0 to a negative power");
  if (op == "**") return std::pow(a, b);
  if (b == 0) throw Failure("division by zero");
  if (op == "/") return a / b;
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == "%") return rest;
  return std::round((a - rest) / b);
}

Value repeated(const Value& what, std::int64_t times, Limits& limits) {
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(times, 0));
  const std::size_t size = what.is_text() ? what.text()->size() : what.list()->size();
  if (size != 0 && count > longest_text / size) throw Failure("the result is too long");
  if (what.is_text()) {
    limits.text(size * count);
    std::string out;
    out.reserve(size * count);
    for (std::size_t i = 0; i < count && size != 0; ++i) out += *what.text();
    return out;
  }
  limits.step(size * count);
  List out;
  for (std::size_t i = 0; i < count && size != 0; ++i) {
    out.insert(out.end(), what.list()->begin(), what.list()->end());
  }
  return what.is_tuple() ? Value::tuple(std::move(out)) : Value::list(std::move(out));
}

/// Where code point `index` of `text` begins.
std::size_t byte_of(std::string_view text, std::size_t index) {
  std::size_t at = 0;
  while (index > 0 && at < text.size()) {
    utf8_next(text, at);
    --index;
  }
  return at;
}

/// A bound of a slice: negative counts from the end, and [low, high] holds it.
std::int64_t bound(const Value& value, std::int64_t otherwise, std::int64_t size, std::int64_t low,
                   std::int64_t high) {
  if (value.is_none()) return otherwise;
  if (!value.is_integer()) {
    throw Failure(cat("a slice needs integers, not a ", value.type_name()));
  }
  std::int64_t at = value.as_integer();
  if (at < 0) at += size;
  return std::clamp(at, low, high);
}

}  // namespace

Value arithmetic(std::string_view op, const Value& a, const Value& b, Limits& limits) {
  if (a.is_integer() && b.is_integer()) return integers(op, a.as_integer(), b.as_integer());
  if (a.is_number() && b.is_number()) return reals(op, a.as_real(), b.as_real());
  if (op == "+" && (a.is_markup() || b.is_markup()) && a.is_text() && b.is_text()) {
    return Value::markup(escaped(a, limits) + escaped(b, limits));
  }
  if (op == "+" && a.is_text() && b.is_text()) {
    limits.text(a.text()->size() + b.text()->size());
    return *a.text() + *b.text();
  }
  if (op == "+" && a.is_plain_row() && b.is_plain_row() && a.is_tuple() == b.is_tuple()) {
    limits.step(a.list()->size() + b.list()->size());
    List out = *a.list();
    out.insert(out.end(), b.list()->begin(), b.list()->end());
    return a.is_tuple() ? Value::tuple(std::move(out)) : Value::list(std::move(out));
  }
  const auto repeats = [](const Value& v) { return v.is_text() || v.is_plain_row(); };
  if (op == "%" && a.is_markup()) throw Failure("'%' of escaped text is not supported");
  if (op == "%" && a.is_text()) return formatted(*a.text(), b, limits);
  if (op == "*" && repeats(a) && b.is_integer())
    return like(a, repeated(a, b.as_integer(), limits));
  if (op == "*" && a.is_integer() && repeats(b))
    return like(b, repeated(b, a.as_integer(), limits));
  unsupported(op, a, b);
}

Value negative(const Value& value) {
  if (value.is_real()) return -value.as_real();
  if (value.is_integer()) return integers("-", 0, value.as_integer());
  unsupported("-", value, value);
}

Value item_at(const Value& container, const Value& index) {
  const auto size = static_cast<std::int64_t>(length(container));
  std::int64_t at = index.as_integer();
  if (at < 0) at += size;
  if (at < 0 || at >= size) return Undefined{cat("element ", index.as_integer())};
  if (container.list() != nullptr) return (*container.list())[static_cast<std::size_t>(at)];
  const std::string& text = *container.text();
  const std::size_t begin = byte_of(text, static_cast<std::size_t>(at));
  std::size_t end = begin;
  utf8_next(text, end);
  return like(container, text.substr(begin, end - begin));
}

namespace {

/// The range whose numbers are those at `begin`, `begin` + `by`, .. before `end` of another.
Value range_within(const Bounds& whole, List items, std::int64_t begin, std::int64_t end,
                   std::int64_t by) {
  const auto at = [&](std::int64_t index) {
    std::int64_t out = 0;
    if (__builtin_mul_overflow(index, whole.step, &out) ||
        __builtin_add_overflow(out, whole.start, &out)) {
      throw Failure("the integer is too large");
    }
    return out;
  };
  std::int64_t step = 0;
  if (__builtin_mul_overflow(whole.step, by, &step)) throw Failure("the integer is too large");
  return Value::range(std::move(items), {at(begin), at(end), step});
}

}  // namespace

Value slice(const Value& container, const Value& start, const Value& stop, const Value& step,
            Limits& limits) {
  if (!container.is_text() && !container.is_indexed_row()) {
    throw Failure(cat("a ", container.type_name(), " cannot be sliced"));
  }
  const List items = iterate(container, limits);
  const auto size = static_cast<std::int64_t>(items.size());
  const std::int64_t by = step.is_none() ? 1 : step.is_integer() ? step.as_integer() : 0;
  if (by == 0) throw Failure("the step of a slice must be an integer other than 0");
  List out;
  const std::int64_t begin =
      by > 0 ? bound(start, 0, size, 0, size) : bound(start, size - 1, size, -1, size - 1);
  const std::int64_t end =
      by > 0 ? bound(stop, size, size, 0, size) : bound(stop, -1, size, -1, size - 1);
  const std::int64_t stride =
      std::clamp(by, -std::max<std::int64_t>(size, 1), std::max<std::int64_t>(size, 1));
  for (std::int64_t i = begin; by > 0 ? i < end : i > end; i += stride) {
    out.push_back(items[static_cast<std::size_t>(i)]);
  }
  if (const Bounds* bounds = container.bounds()) {
    return range_within(*bounds, std::move(out), begin, end, by);
  }
  if (!container.is_text()) {
    return container.is_tuple() ? Value::tuple(std::move(out)) : Value::list(std::move(out));
  }
  std::string text;
  for (const Value& value : out) text += *value.text();
  return like(container, text);
}

}  // namespace graft::core::jinja
