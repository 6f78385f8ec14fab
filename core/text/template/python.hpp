// What Python does to values: printing, truth, comparison, arithmetic.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "core/text/template/limits.hpp"
#include "core/text/template/value.hpp"

namespace graft::core::jinja {

/// str.isspace() of a character.
bool is_space(char32_t c);
/// What \w and \d match of Python's regular expressions.
bool is_word(char32_t c);
bool is_decimal(char32_t c);
/// `text` with the decimal digits of all scripts as those of ASCII, as int() and float() read it.
std::string with_plain_digits(std::string_view text);
/// `text` without white space, or without the characters of `these`, on the sides asked for.
std::string_view strip(std::string_view text, bool left, bool right);
std::string_view strip(std::string_view text, std::string_view these, bool left, bool right);

/// str() and repr(); undefined prints as nothing.
std::string str(const Value& value, Limits& limits);
std::string repr(const Value& value, Limits& limits);
/// Whether repr() writes a character as it is.
bool is_printable(char32_t c);
/// repr() of a float.
std::string float_text(double value);

bool truth(const Value& value);
bool equal(const Value& a, const Value& b, Limits& limits);
/// Fails unless both are numbers, texts, or lists of such.
bool less(const Value& a, const Value& b, Limits& limits);
/// `item` in `container`.
bool contains(const Value& container, const Value& item, Limits& limits);
/// Whether Python takes it as the key of a dict; what it does not, fails.
bool is_hashable(const Value& value);
void require_hashable(const Value& value);
/// The value of a key of any kind; null where there is none. Fails on what cannot be a key.
const Value* find_key(const Dict& dict, const Value& key, Limits& limits);
void set_key(Dict& dict, const Value& key, Value value, Limits& limits);
/// What comes next of a generator; nothing where it is used up.
std::optional<Value> next_of(const Value& generator);
/// What a for statement goes through. Fails on what Python does not iterate.
List iterate(const Value& value, Limits& limits);
/// len(); fails on what has none.
std::size_t length(const Value& value);

/// Text with the signs of HTML written as entities; markup as it is.
std::string escaped(const Value& value, Limits& limits);
/// `out`, as markup where it is the text that something made of the markup `in`.
Value like(const Value& in, Value out);

/// + - * / // % **
Value arithmetic(std::string_view op, const Value& a, const Value& b, Limits& limits);
Value negative(const Value& value);
/// "%s" % values, for the common conversions.
std::string formatted(std::string_view format, const Value& values, Limits& limits);

/// Texts count in code points. Fails on an index that is no integer; out of range: null.
Value item_at(const Value& container, const Value& index);
Value slice(const Value& container, const Value& start, const Value& stop, const Value& step,
            Limits& limits);

}  // namespace graft::core::jinja
