#include "core/base/json_path.hpp"

#include <charconv>

namespace graft::core {
namespace {

constexpr int kMaxParts = 64;

Json value_of(std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const Error&) {
    return std::string(text);
  }
}

const char* kind(const Json& value) {
  return value.is_array() ? "a list" : value.is_string() ? "a string" : value.type_name();
}

Json& element(Json& list, std::string_view part, std::string_view path) {
  std::size_t index = 0;
  const auto read = std::from_chars(part.data(), part.data() + part.size(), index);
  const bool whole = read.ec == std::errc() && read.ptr == part.data() + part.size();
  if (!whole || index > list.size()) {
    throw Error(GRAFT_E_INVALID, cat("--", path, ": '", part, "' is no place in a list of ",
                                     list.size(), ". Write a number from 0 to ", list.size(), "."));
  }
  if (index == list.size()) list.push_back(nullptr);
  return list[index];
}

}  // namespace

void set_path(Json& root, std::string_view path, std::string_view text) {
  Json* at = &root;
  std::string_view rest = path;
  for (int count = 0;; ++count) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    if (part.empty() || count == kMaxParts) {
      throw Error(GRAFT_E_INVALID, cat("--", path.substr(0, 200), ": not a path of keys. Write ",
                                       "keys with dots between them, as --train.lr 1e-4."));
    }
    if (at->is_null()) *at = Json::object();
    if (at->is_array()) {
      at = &element(*at, part, path);
    } else if (at->is_object()) {
      at = &(*at)[std::string(part)];
    } else {
      throw Error(GRAFT_E_INVALID, cat("--", path, ": there is no '", part, "' inside ",
                                       to_text(*at).substr(0, 60), ", which is ", kind(*at), "."));
    }
    if (dot == std::string_view::npos) break;
    rest = rest.substr(dot + 1);
  }
  *at = value_of(text);
}

std::string pointer_to(std::string_view parent, std::string_view key) {
  std::string result = cat(parent, '/');
  for (const char c : key) {
    if (c == '~') {
      result += "~0";
    } else if (c == '/') {
      result += "~1";
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace graft::core
