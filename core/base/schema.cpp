#include "core/base/schema.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/base/json_path.hpp"
#include "core/base/nearest.hpp"
#include "core/base/utf8.hpp"

namespace graft::core {
namespace {

constexpr std::size_t kMostProblems = 8;
constexpr int kMaxDepth = 64;

using Problems = std::vector<std::string>;

std::string shown(const Json& value) {
  std::string text = to_text(value);
  if (text.size() > 60) text = text.substr(0, utf8_cut(text, 57)) + "...";
  return text;
}

constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();

bool is_too_large(const Json& value) {
  return value.is_number_unsigned() && value.get<std::uint64_t>() > kLargest;
}

bool is_integer(const Json& value) {
  if (value.is_number_integer()) return !is_too_large(value);
  return value.is_number_float() && std::abs(value.get<double>()) < 0x1p53 &&
         value.get<double>() == std::trunc(value.get<double>());
}

bool has_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "number") return value.is_number();
  if (type == "integer") return is_integer(value);
  throw Error(GRAFT_E_INVALID, cat("schema: \"type\": \"", type, "\" is not known."));
}

std::string in_words(const std::string& type) {
  if (type == "object") return "an object {..}";
  if (type == "array") return "a list [..]";
  if (type == "string") return "a string";
  if (type == "boolean") return "true or false";
  if (type == "integer") return "a whole number";
  return type == "null" ? "null" : "a number";
}

std::vector<std::string> types_of(const Json& schema) {
  const Json& type = schema.at("type");
  if (type.is_string()) return {type.get<std::string>()};
  return type.get<std::vector<std::string>>();
}

void check_keywords(const Json& schema) {
  static const std::vector<std::string> known = {"type",      "properties",
                                                 "required",  "additionalProperties",
                                                 "items",     "minItems",
                                                 "maxItems",  "enum",
                                                 "const",     "minimum",
                                                 "maximum",   "exclusiveMinimum",
                                                 "minLength", "exclusiveMaximum",
                                                 "oneOf",     "anyOf",
                                                 "default",   "description",
                                                 "title",     "examples",
                                                 "$schema",   "$id",
                                                 "$comment",  "deprecated"};
  for (const auto& [key, unused] : schema.items()) {
    if (key.starts_with("x-") || std::find(known.begin(), known.end(), key) != known.end())
      continue;
    throw Error(GRAFT_E_INVALID, cat("schema: the keyword \"", key, "\" is not supported."));
  }
}

class Validator {
 public:
  explicit Validator(Problems& problems) : problems_(problems) {}

  void check(Json& value, const Json& schema, const std::string& where, int depth) {
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) report(where, "is not allowed here");
      return;
    }
    if (depth > kMaxDepth) return report(where, "is nested too deep");
    check_keywords(schema);
    if (!check_type(value, schema, where)) return;
    if (!check_choice(value, schema, where)) return;
    if (value.is_number()) check_number(value, schema, where);
    if (value.is_string()) check_string(value, schema, where);
    if (value.is_array()) check_array(value, schema, where, depth);
    if (value.is_object()) check_object(value, schema, where, depth);
    if (schema.contains("oneOf")) check_branches(value, schema.at("oneOf"), true, where, depth);
    if (schema.contains("anyOf")) check_branches(value, schema.at("anyOf"), false, where, depth);
  }

 private:
  void report(const std::string& where, const std::string& what) {
    problems_.push_back(cat(where.empty() ? "the whole" : where, ' ', what));
  }

  void expected(const std::string& where, const Json& value, const Json& schema,
                const std::string& right) {
    std::string text = cat("is ", shown(value), ", but must be ", right, '.');
    if (schema.contains("description")) {
      text += cat(" It is: ", schema.at("description").get<std::string>());
    }
    report(where, text);
  }

  bool check_type(Json& value, const Json& schema, const std::string& where) {
    if (!schema.contains("type")) return true;
    const std::vector<std::string> types = types_of(schema);
    std::string right;
    for (const std::string& type : types) {
      if (has_type(value, type)) {
        if (type == "integer" && value.is_number_float()) {
          value = static_cast<std::int64_t>(value.get<double>());
        }
        return true;
      }
      const bool large = type == "integer" && is_too_large(value);
      right += cat(right.empty() ? "" : " or ", in_words(type), large ? " of at most " : "",
                   large ? std::to_string(kLargest) : "");
    }
    expected(where, value, schema, right);
    return false;
  }

  bool check_choice(const Json& value, const Json& schema, const std::string& where) {
    if (schema.contains("const") && value != schema.at("const")) {
      expected(where, value, schema, shown(schema.at("const")));
      return false;
    }
    if (!schema.contains("enum")) return true;
    const Json& choices = schema.at("enum");
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return true;
    std::string right;
    std::vector<std::string> names;
    for (const Json& choice : choices) {
      right += cat(right.empty() ? "" : ", ", shown(choice));
      if (choice.is_string()) names.push_back(choice.get<std::string>());
    }
    std::string text = cat("is ", shown(value), ", but must be one of ", right, '.');
    if (value.is_string()) {
      if (const auto best = meant(value.get_ref<const std::string&>(), names)) {
        text += cat(" Did you mean '", *best, "'?");
      }
    }
    report(where, text);
    return false;
  }

  void check_number(const Json& value, const Json& schema, const std::string& where) {
    const double number = value.get<double>();
    const auto bound = [&](const char* key, auto holds, const char* words) {
      if (!schema.contains(key) || holds(number, schema.at(key).get<double>())) return;
      expected(where, value, schema, cat(words, ' ', shown(schema.at(key))));
    };
    bound(
        "minimum", [](double a, double b) { return a >= b; }, "at least");
    bound(
        "maximum", [](double a, double b) { return a <= b; }, "at most");
    bound(
        "exclusiveMinimum", [](double a, double b) { return a > b; }, "greater than");
    bound(
        "exclusiveMaximum", [](double a, double b) { return a < b; }, "less than");
  }

  void check_string(const Json& value, const Json& schema, const std::string& where) {
    if (!schema.contains("minLength")) return;
    const auto least = schema.at("minLength").get<std::size_t>();
    if (value.get_ref<const std::string&>().size() >= least) return;
    expected(where, value, schema, cat("a string of ", least, " or more characters"));
  }

  void check_array(Json& value, const Json& schema, const std::string& where, int depth) {
    const auto length = [&](const char* key, bool least) {
      if (!schema.contains(key)) return;
      const auto limit = schema.at(key).get<std::size_t>();
      if (least ? value.size() >= limit : value.size() <= limit) return;
      expected(where, value, schema,
               cat("a list of ", limit, least ? " or more" : " or fewer", " elements"));
    };
    length("minItems", true);
    length("maxItems", false);
    if (!schema.contains("items")) return;
    for (std::size_t i = 0; i < value.size() && problems_.size() < kMostProblems; ++i) {
      check(value[i], schema.at("items"), pointer_to(where, cat(i)), depth + 1);
    }
  }

  void check_object(Json& value, const Json& schema, const std::string& where, int depth) {
    static const Json none = Json::object();
    const Json& properties = schema.contains("properties") ? schema.at("properties") : none;
    std::vector<std::string> known;
    for (const auto& [key, unused] : properties.items()) known.push_back(key);
    for (auto& [key, member] : value.items()) {
      const std::string place = pointer_to(where, key);
      if (properties.contains(key)) {
        check(member, properties.at(key), place, depth + 1);
      } else if (schema.contains("additionalProperties")) {
        check_extra(member, schema.at("additionalProperties"), key, place, known, depth);
      }
    }
    if (schema.contains("required")) {
      for (const Json& key : schema.at("required")) {
        const auto& name = key.get_ref<const std::string&>();
        if (!value.contains(name)) report_missing(name, properties, where);
      }
    }
    for (const auto& [key, property] : properties.items()) {
      if (value.contains(key) || !property.is_object() || !property.contains("default")) continue;
      Json filled = property.at("default");
      check(filled, property, pointer_to(where, key), depth + 1);
      value[key] = std::move(filled);
    }
  }

  void check_extra(Json& member, const Json& extra, const std::string& key,
                   const std::string& place, const std::vector<std::string>& known, int depth) {
    if (!extra.is_boolean()) return check(member, extra, place, depth + 1);
    if (extra.get<bool>()) return;
    problems_.push_back(cat("unknown key ", place, ". ", hint(key, known, "Known keys")));
  }

  void report_missing(const std::string& name, const Json& properties, const std::string& where) {
    std::string text = "is missing.";
    if (properties.contains(name) && properties.at(name).contains("description")) {
      text += cat(" It is: ", properties.at(name).at("description").get<std::string>());
    }
    report(pointer_to(where, name), text);
  }

  static bool fits_type(const Json& value, const Json& branch) {
    if (!branch.is_object() || !branch.contains("type")) return false;
    const std::vector<std::string> types = types_of(branch);
    return std::any_of(types.begin(), types.end(),
                       [&](const std::string& type) { return has_type(value, type); });
  }

  // A branch is what the user meant when the keys that it fixes (a "type" that is const) agree, or
  // when it alone has the type of the value: its problems say more than "fits none".
  static bool agrees(const Json& value, const Json& branch) {
    if (!value.is_object() || !branch.is_object() || !branch.contains("properties")) return false;
    bool fixed = false;
    for (const auto& [key, property] : branch.at("properties").items()) {
      if (!property.is_object() || !property.contains("const")) continue;
      if (!value.contains(key) || value.at(key) != property.at("const")) return false;
      fixed = true;
    }
    return fixed;
  }

  void check_branches(Json& value, const Json& branches, bool exactly_one, const std::string& where,
                      int depth) {
    Json chosen;
    Problems closest;
    int matches = 0;
    std::string right;
    const auto alike = std::count_if(branches.begin(), branches.end(),
                                     [&](const Json& branch) { return fits_type(value, branch); });
    for (const Json& branch : branches) {
      Problems problems;
      Json candidate = value;
      Validator(problems).check(candidate, branch, where, depth + 1);
      if (problems.empty()) {
        if (matches++ == 0) chosen = std::move(candidate);
        if (!exactly_one) break;
      } else if (agrees(value, branch) || branches.size() == 1 ||
                 (alike == 1 && fits_type(value, branch))) {
        closest = std::move(problems);
      }
      right += cat(right.empty() ? "" : ", or ", branch_in_words(branch));
    }
    if (matches == 1 || (matches > 1 && !exactly_one)) {
      value = std::move(chosen);
    } else if (matches > 1) {
      report(where, cat("is ", shown(value), ", which fits ", matches, " of: ", right,
                        ". It must fit exactly one."));
    } else if (!closest.empty()) {
      problems_.insert(problems_.end(), closest.begin(), closest.end());
    } else {
      report(where, cat("is ", shown(value), ", but must be one of: ", right, '.'));
    }
  }

  static std::string branch_in_words(const Json& branch) {
    if (!branch.is_object()) return "anything";
    if (branch.contains("description")) return branch.at("description").get<std::string>();
    if (branch.contains("const")) return shown(branch.at("const"));
    if (branch.contains("enum")) return shown(branch.at("enum"));
    std::string fixed;
    if (branch.contains("properties")) {
      for (const auto& [key, property] : branch.at("properties").items()) {
        if (!property.is_object() || !property.contains("const")) continue;
        fixed += cat(fixed.empty() ? "{" : ", ", '"', key, "\": ", shown(property.at("const")));
      }
    }
    if (!fixed.empty()) return fixed + ", ..}";
    if (branch.contains("required")) return cat("an object with ", shown(branch.at("required")));
    return branch.contains("type") ? in_words(types_of(branch).front()) : "anything";
  }

  Problems& problems_;
};

}  // namespace

Json validate(const Json& value, const Json& schema, std::string_view who) {
  Json result = value;
  Problems problems;
  std::string where;
  if (const std::size_t at = who.find(": /"); at != std::string_view::npos) {
    where = who.substr(at + 2);
    who = who.substr(0, at);
  }
  try {
    Validator(problems).check(result, schema, where, 0);
  } catch (const Json::exception& e) {
    throw Error(GRAFT_E_INVALID, cat(who, ": the schema itself is malformed: ", e.what()));
  }
  if (problems.empty()) return result;
  std::string text;
  for (std::size_t i = 0; i < problems.size() && i < kMostProblems; ++i) {
    text += cat(i == 0 ? "" : "\n", who, ": ", problems[i]);
  }
  if (problems.size() > kMostProblems) {
    text += cat("\n", who, ": and ", problems.size() - kMostProblems, " more problems.");
  }
  throw Error(GRAFT_E_INVALID, text);
}

}  // namespace graft::core
