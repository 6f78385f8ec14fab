#include <algorithm>

#include "core/text/template/builtins.hpp"
#include "core/text/template/named.hpp"
#include "core/text/template/python.hpp"

namespace graft::core::jinja {
namespace {

using A = Arguments;

bool iterable(const Value& v) {
  return v.is_text() || v.list() != nullptr || v.dict() != nullptr || v.is_undefined();
}
/// Has a length and is indexed.
bool sequence(const Value& v) {
  return iterable(v) && (v.list() == nullptr || v.is_indexed_row());
}

/// `v` % `by` == `rest`
bool leaves(const Value& v, const Value& by, std::int64_t rest, A& a) {
  return equal(arithmetic("%", v, by, a.limits), rest, a.limits);
}

bool smaller(const Value& v, A& a) {
  return less(v, a.require("other"), a.limits);
}
bool greater(const Value& v, A& a) {
  return less(a.require("other"), v, a.limits);
}

/// str.isupper() and str.islower() of what the value prints.
bool has_case(const Value& v, A& a, bool big) {
  const std::string text = str(v, a.limits);
  return text == (big ? upper(text) : lower(text)) && upper(text) != lower(text);
}

/// Python's `is`, of what templates can hold.
bool same(const Value& x, const Value& y, Limits& limits) {
  return x.type_name() == y.type_name() &&
         (x.is_none() || x.is_boolean() || x.is_integer() || x.is_text() || x.space() != nullptr) &&
         equal(x, y, limits);
}

constexpr Named<Test> tests[] = {
    {"!=", [](const Value& v, A& a) { return !equal(v, a.take("other", {}), a.limits); }},
    {"<", smaller},
    {"<=", [](const Value& v, A& a) { return !less(a.require("other"), v, a.limits); }},
    {"==", [](const Value& v, A& a) { return equal(v, a.take("other", {}), a.limits); }},
    {">", greater},
    {">=", [](const Value& v, A& a) { return !less(v, a.require("other"), a.limits); }},
    {"boolean", [](const Value& v, A&) { return v.is_boolean(); }},
    {"callable",
     [](const Value& v, A&) {
       return v.function() != nullptr || v.counter() != nullptr || v.is_undefined();
     }},
    {"defined", [](const Value& v, A&) { return !v.is_undefined(); }},
    {"divisibleby", [](const Value& v, A& a) { return leaves(v, a.require("num"), 0, a); }},
    {"eq", [](const Value& v, A& a) { return equal(v, a.take("other", {}), a.limits); }},
    {"equalto", [](const Value& v, A& a) { return equal(v, a.take("other", {}), a.limits); }},
    {"even", [](const Value& v, A& a) { return leaves(v, std::int64_t{2}, 0, a); }},
    {"false", [](const Value& v, A&) { return v.is_boolean() && !truth(v); }},
    {"float", [](const Value& v, A&) { return v.is_real(); }},
    {"escaped",
     [](const Value& v, A& a) {
       a.done();
       return v.is_markup();
     }},
    {"filter",
     [](const Value& v, A&) {
       require_hashable(v);
       return v.is_text() && find_filter(*v.text()) != nullptr;
     }},
    {"ge", [](const Value& v, A& a) { return !less(v, a.require("other"), a.limits); }},
    {"greaterthan", greater},
    {"gt", greater},
    {"in", [](const Value& v, A& a) { return contains(a.take("seq", {}), v, a.limits); }},
    {"integer", [](const Value& v, A&) { return v.is_integer() && !v.is_boolean(); }},
    {"iterable", [](const Value& v, A&) { return iterable(v); }},
    {"le", [](const Value& v, A& a) { return !less(a.require("other"), v, a.limits); }},
    {"lessthan", smaller},
    {"lower", [](const Value& v, A& a) { return has_case(v, a, false); }},
    {"lt", smaller},
    {"mapping", [](const Value& v, A&) { return v.dict() != nullptr; }},
    {"ne", [](const Value& v, A& a) { return !equal(v, a.take("other", {}), a.limits); }},
    {"none", [](const Value& v, A&) { return v.is_none(); }},
    {"number", [](const Value& v, A&) { return v.is_number(); }},
    {"odd", [](const Value& v, A& a) { return leaves(v, std::int64_t{2}, 1, a); }},
    {"sameas", [](const Value& v, A& a) { return same(v, a.take("other", {}), a.limits); }},
    {"sequence", [](const Value& v, A&) { return sequence(v); }},
    {"string", [](const Value& v, A&) { return v.is_text(); }},
    {"test",
     [](const Value& v, A&) {
       require_hashable(v);
       return v.is_text() && find_test(*v.text()) != nullptr;
     }},
    {"true", [](const Value& v, A&) { return v.is_boolean() && truth(v); }},
    {"undefined", [](const Value& v, A&) { return v.is_undefined(); }},
    {"upper", [](const Value& v, A& a) { return has_case(v, a, true); }},
};

}  // namespace

Test find_test(std::string_view name) {
  return find_named(tests, name);
}

}  // namespace graft::core::jinja
