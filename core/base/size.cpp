#include "core/base/size.hpp"

#include <charconv>
#include <cmath>
#include <cstdio>

namespace graft::core {
namespace {

[[noreturn]] void refuse(std::string_view who, const std::string& found) {
  throw Error(GRAFT_E_INVALID, cat(who, " is ", found,
                                   ", which is no size. Write a number of bytes, or a number with "
                                   "a unit: \"4GiB\", \"512MB\"."));
}

// 0: not a unit.
double unit_bytes(std::string_view unit) {
  if (unit.empty() || unit == "b") return 1;
  const std::size_t power = std::string_view("kmgt").find(unit[0]);
  if (power == std::string_view::npos) return 0;
  const std::string_view rest = unit.substr(1);
  const bool binary = rest.empty() || rest == "ib" || rest == "i";
  if (!binary && rest != "b") return 0;
  return std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
}

std::uint64_t whole_bytes(double bytes, std::string_view who, const std::string& found) {
  if (!(bytes >= 0 && bytes < 9.2e18)) refuse(who, found);
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace

std::uint64_t parse_size(std::string_view text, std::string_view who) {
  const std::string found = cat('"', text.substr(0, 40), '"');
  double number = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (read.ec != std::errc()) refuse(who, found);
  std::string unit;
  for (const char* at = read.ptr; at != end; ++at) {
    if (*at == ' ' && unit.empty()) continue;
    unit += *at >= 'A' && *at <= 'Z' ? static_cast<char>(*at - 'A' + 'a') : *at;
  }
  const double scale = unit_bytes(unit);
  if (scale == 0) refuse(who, found);
  return whole_bytes(number * scale, who, found);
}

std::uint64_t json_size(const Json& value, std::string_view who) {
  if (value.is_string())
    return parse_size(std::string_view(value.get_ref<const std::string&>()), who);
  if (!value.is_number()) refuse(who, to_text(value));
  return whole_bytes(value.get<double>(), who, to_text(value));
}

std::string size_text(std::uint64_t bytes) {
  if (bytes < 1024) return cat(bytes, " B");
  const char* units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return cat(text, ' ', units[unit]);
}

}  // namespace graft::core
