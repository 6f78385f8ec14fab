#include <algorithm>

#include "core/text/template/builtins.hpp"
#include "core/text/template/python.hpp"

namespace graft::core::jinja {
namespace {

using A = Arguments;

bool sized(const Value& v) {
  return v.is_text() || v.list() != nullptr || v.dict() != nullptr || v.is_undefined();
}

std::int64_t whole(const Value& v) {
  if (!v.is_integer()) throw Failure(cat("expected an int, not a ", v.type_name()));
  return v.as_integer();
}

bool divides(const Value& v, A& a) {
  const std::int64_t by = whole(a.require("num"));
  if (by == 0) throw Failure("division by zero");
  return by == -1 || whole(v) % by == 0;
}

struct Entry {
  std::string_view name;
  Test test;
};

constexpr Entry tests[] = {
    {"!=", [](const Value& v, A& a) { return !equal(v, a.take("other", {}), a.limits); }},
    {"==", [](const Value& v, A& a) { return equal(v, a.take("other", {}), a.limits); }},
    {"boolean", [](const Value& v, A&) { return v.is_boolean(); }},
    {"callable", [](const Value& v, A&) { return v.function() != nullptr; }},
    {"defined", [](const Value& v, A&) { return !v.is_undefined(); }},
    {"divisibleby", divides},
    {"eq", [](const Value& v, A& a) { return equal(v, a.take("other", {}), a.limits); }},
    {"equalto", [](const Value& v, A& a) { return equal(v, a.take("other", {}), a.limits); }},
    {"even", [](const Value& v, A&) { return whole(v) % 2 == 0; }},
    {"false", [](const Value& v, A&) { return v.is_boolean() && !truth(v); }},
    {"float", [](const Value& v, A&) { return v.is_real(); }},
    {"in", [](const Value& v, A& a) { return contains(a.take("seq", {}), v, a.limits); }},
    {"integer", [](const Value& v, A&) { return v.is_integer() && !v.is_boolean(); }},
    {"iterable", [](const Value& v, A&) { return sized(v); }},
    {"mapping", [](const Value& v, A&) { return v.dict() != nullptr; }},
    {"ne", [](const Value& v, A& a) { return !equal(v, a.take("other", {}), a.limits); }},
    {"none", [](const Value& v, A&) { return v.is_none(); }},
    {"number", [](const Value& v, A&) { return v.is_number(); }},
    {"odd", [](const Value& v, A&) { return whole(v) % 2 != 0; }},
    {"sequence", [](const Value& v, A&) { return sized(v); }},
    {"string", [](const Value& v, A&) { return v.is_text(); }},
    {"true", [](const Value& v, A&) { return v.is_boolean() && truth(v); }},
    {"undefined", [](const Value& v, A&) { return v.is_undefined(); }},
};

}  // namespace

Test find_test(std::string_view name) {
  const auto found = std::find_if(std::begin(tests), std::end(tests),
                                  [&](const Entry& entry) { return entry.name == name; });
  return found != std::end(tests) ? found->test : nullptr;
}

}  // namespace graft::core::jinja
